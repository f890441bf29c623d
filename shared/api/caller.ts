/** Something that answers methods: a session with an agent, or the service in this process. */
import type { MethodName, Params, Result } from './methods.ts';

export type Caller = {
  /** @throws Fault of the method, or of the connection to the agent. */
  call<M extends MethodName>(
    method: M,
    params: Params<M>,
    options?: { signal?: AbortSignal | undefined },
  ): Promise<Result<M>>;
  /** The bytes of a stream that an answer has announced. */
  receive(stream: number): AsyncIterable<Uint8Array>;
};
