/** docs/openrpc.json: the table of methods as an OpenRPC document. */
import type * as z from 'zod';

import { Fault, type FaultCode } from '../../shared/api/fault.ts';
import { PROTOCOL, RPC_FAULT } from '../../shared/api/rpc.ts';
import type { Effect } from '../../shared/api/method.ts';
import { isReadEffect } from '../../shared/api/method.ts';
import { type Json, jsonSchemaOf, nameOf } from './json-schema.ts';

/** What the document needs of a row of the table. */
export type MethodRow = {
  summary: string;
  effect: Effect;
  params: z.ZodType;
  result: z.ZodType;
  faults: readonly FaultCode[];
  streams?: boolean;
};

/** @throws Error for parameters that are no object. */
export function openRpc(methods: Readonly<Record<string, MethodRow>>): Json {
  const schemas: Json = {};

  /** The schema in place; what it refers to goes to the components. */
  const inPlace = (schema: z.ZodType): Json => {
    const { $schema: _, $defs = {}, ...rest } = componentRefs(jsonSchemaOf(schema));
    Object.assign(schemas, $defs);
    return rest;
  };

  const referred = (schema: z.ZodType): Json => {
    const name = nameOf(schema);
    if (name === undefined) {
      return inPlace(schema);
    }
    schemas[name] ??= inPlace(schema);
    return { $ref: `#/components/schemas/${name}` };
  };

  return {
    openrpc: '1.3.2',
    info: {
      title: 'Airlock',
      version: PROTOCOL,
      description:
        'The methods of an agent, as JSON-RPC 2.0 over a WebSocket. docs/protocol.md tells how to connect, and how the streams work. ' +
        'x-scope: the scope that the token needs. x-effect: what the method does to the root. x-streams: the rest of the answer may come on a stream.',
    },
    methods: Object.entries(methods).map(([name, { params, result, summary, effect, faults, streams }]) => ({
      name,
      summary,
      paramStructure: 'by-name',
      params: paramsOf(name, inPlace(params)),
      result: { name: 'result', schema: referred(result) },
      errors: faults.map(errorOf),
      'x-scope': isReadEffect(effect) ? 'read' : 'write',
      'x-effect': effect,
      ...(streams === true ? { 'x-streams': true } : {}),
    })),
    components: { schemas: sorted(schemas) },
  };
}

const errorOf = (code: FaultCode): Json => ({
  code: RPC_FAULT,
  message: new Fault(code, '').title,
  data: { code },
});

function paramsOf(method: string, { type, properties = {}, required }: Json): Json[] {
  if (type !== 'object') {
    throw new Error(`The parameters of "${method}" are no object`);
  }
  const needed: readonly unknown[] = Array.isArray(required) ? required : [];
  return Object.entries(properties as Json).map(([name, schema]) => ({
    name,
    required: needed.includes(name),
    schema,
  }));
}

/** OpenRPC keeps under `components` what JSON Schema keeps under `$defs`. */
const componentRefs = (schema: Json): Json =>
  JSON.parse(JSON.stringify(schema).replaceAll('"#/$defs/', '"#/components/schemas/')) as Json;

const sorted = (schemas: Json): Json =>
  Object.fromEntries(Object.entries(schemas).toSorted(([a], [b]) => (a < b ? -1 : 1)));
