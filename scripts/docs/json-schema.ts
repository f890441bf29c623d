/** From zod schemas to JSON Schemas: what a reader accepts, with a name for each schema that the protocol exports. */
import * as z from 'zod';

import * as protocol from '../../shared/api/protocol.ts';

/** A JSON object. */
export type Json = Record<string, unknown>;

/** The schemas that the protocol exports, by their names without "Schema". */
const named: ReadonlyMap<z.ZodType, string> = new Map(
  Object.entries(protocol).flatMap(([name, value]): [z.ZodType, string][] =>
    name.endsWith('Schema') && value instanceof z.ZodType ? [[value, name.slice(0, -'Schema'.length)]] : [],
  ),
);

/** The name under which others refer to a schema; undefined: it has none. */
export const nameOf = (schema: z.ZodType): string | undefined => named.get(schema);

/**
 * The JSON Schema of what a reader accepts: unknown fields are allowed where the reader ignores them. Named schemas stand in
 * `$defs`; the schema itself does not, so that its own fields come first.
 *
 * @throws Error for a schema that JSON Schema cannot express.
 */
export function jsonSchemaOf(schema: z.ZodType): Json {
  const metadata = z.registry<{ id: string }>();
  for (const [other, id] of named) {
    if (other !== schema) metadata.add(other, { id });
  }
  return z.toJSONSchema(schema, {
    metadata,
    io: 'input',
    override: ({ jsonSchema }) => {
      // The format says it already, and the bounds are those of every number in JavaScript.
      if (jsonSchema.format === 'date-time') delete jsonSchema.pattern;
      if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
      if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
    },
  });
}
