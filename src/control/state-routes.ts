/** Routes about what handlers remember. */
import { z } from "zod";
import { Fault } from "../fault.ts";
import type { ApiRoute } from "./api.ts";
import { bulkAnswer, handlerName } from "./shapes.ts";

/** What the journal's door has under the same names. */
export interface StateSource {
  /** In order, behind the key `after`; undefined when there has never been such a handler. */
  list(query: {
    readonly handler: string;
    readonly after?: string | undefined;
    readonly limit: number;
  }): Promise<readonly StateOfKey[] | undefined>;
  get(handler: string, key: string): Promise<StateOfKey | undefined>;
  /** False when there is none. Resolves when that is on disk. */
  remove(handler: string, key: string): Promise<boolean>;
}

export interface StateOfKey {
  readonly key: string;
  /** JSON text. */
  readonly value: string;
  readonly timeMs: number | undefined;
  readonly version: number | undefined;
}

const fields = {
  key: z.string(),
  bytes: z.number().meta({ description: "Length of the state as JSON." }),
  written: z.iso.datetime().optional().meta({ description: "When it was last written, where that is known." }),
  version: z.number().optional().meta({ description: "The version that wrote it, where that is known." }),
};
const page = z
  .object({
    states: z.array(z.object(fields)),
    next: z.string().optional().meta({ description: "Pass it as `after` for the next page; absent on the last." }),
  })
  .meta({ id: "States" });
export type StatesAnswer = z.output<typeof page>;
const one = z.object({ ...fields, state: z.unknown() }).meta({ id: "State" });
export type StateAnswer = z.output<typeof one>;

const listQuery = z.object({
  after: z.string().max(65_535).optional().meta({ description: "Only keys behind this one." }),
  limit: z.coerce.number().int().min(1).max(1000).default(100).meta({ description: "At most so many." }),
});
const keyQuery = z.object({ key: z.string().max(65_535).meta({ description: "The key whose state it is." }) });

export function stateRoutes(states: StateSource): readonly ApiRoute[] {
  const none = (handler: string, key: string): Fault =>
    new Fault("CONTROL_NOT_FOUND", `the handler ${handler} has no state of key ${JSON.stringify(key.slice(0, 200))}`);
  return [
    {
      method: "GET",
      path: "/api/v1/handlers/{name}/states",
      name: "listStates",
      summary: "Keys of which a handler has state, in order.",
      role: "viewer",
      params: handlerName,
      query: listQuery,
      answer: page,
      run: async ({ params, query }): Promise<StatesAnswer> => {
        const handler = params["name"] ?? "";
        const asked = query as z.output<typeof listQuery>;
        const found = await states.list({ handler, ...asked });
        if (found === undefined) throw new Fault("CONTROL_NOT_FOUND", `there has never been a handler ${handler}`);
        // A full page may be the last one; then the next is empty.
        return { states: found.map(shown), next: found.length < asked.limit ? undefined : found.at(-1)?.key };
      },
    },
    {
      method: "GET",
      path: "/api/v1/handlers/{name}/state",
      name: "showState",
      summary: "The state of one key.",
      role: "viewer",
      params: handlerName,
      query: keyQuery,
      answer: one,
      run: async ({ params, query }): Promise<StateAnswer> => {
        const { key } = query as z.output<typeof keyQuery>;
        const found = await states.get(params["name"] ?? "", key);
        if (found === undefined) throw none(params["name"] ?? "", key);
        return { ...shown(found), state: JSON.parse(found.value) as unknown };
      },
    },
    {
      method: "DELETE",
      path: "/api/v1/handlers/{name}/state",
      name: "removeState",
      summary: "Remove the state of one key. Events of it that are running run again, on none.",
      role: "admin",
      params: handlerName,
      query: keyQuery,
      answer: bulkAnswer,
      run: async ({ params, query }) => {
        const { key } = query as z.output<typeof keyQuery>;
        if (!(await states.remove(params["name"] ?? "", key))) throw none(params["name"] ?? "", key);
        return { count: 1 };
      },
    },
  ];
}

function shown({ key, value, timeMs, version }: StateOfKey): StatesAnswer["states"][number] {
  const written = timeMs === undefined ? undefined : new Date(timeMs).toISOString();
  return { key, bytes: Buffer.byteLength(value), written, version };
}
