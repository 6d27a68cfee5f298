/** Routes of replays: past events of a handler run again on one of its versions. */
import type { z } from "zod";
import type { ApiRoute } from "./api.ts";
import type { ReplaysSource } from "./control.ts";
import { replay, replayBody, replayId, replays } from "./replay-shapes.ts";
import { handlerName } from "./shapes.ts";

export { redriveBody } from "./replay-shapes.ts";

const ALL = "/api/v1/handlers/{name}/replays";
const ONE = `${ALL}/{id}`;

export function replayRoutes(source: ReplaysSource): readonly ApiRoute[] {
  const at = (params: Readonly<Record<string, string>>): [string, string] => [params["name"] ?? "", params["id"] ?? ""];
  return [
    {
      method: "GET",
      path: ALL,
      name: "replays",
      summary: "Replays of a handler that run, and the last ones that did.",
      role: "viewer",
      params: handlerName,
      answer: replays,
      run: ({ params }) => ({ replays: [...source.list(params["name"] ?? "")] }),
    },
    {
      method: "POST",
      path: ALL,
      name: "startReplay",
      summary: "Run past events of a handler again, and compare with what was recorded, or send what comes of it.",
      role: "deployer",
      params: handlerName,
      body: replayBody,
      answer: replay,
      run: ({ params, body }) => source.start(params["name"] ?? "", body as z.output<typeof replayBody>),
    },
    {
      method: "GET",
      path: ONE,
      name: "replay",
      summary: "How far a replay is, and what is different.",
      role: "viewer",
      params: replayId,
      answer: replay,
      run: ({ params }) => source.get(...at(params)),
    },
    {
      method: "DELETE",
      path: ONE,
      name: "cancelReplay",
      summary: "End a replay where it is; it can be resumed.",
      role: "deployer",
      params: replayId,
      answer: replay,
      run: ({ params }) => source.cancel(...at(params)),
    },
    {
      method: "POST",
      path: `${ONE}/resume`,
      name: "resumeReplay",
      summary: "Go on with a replay that was cancelled, interrupted, or failed.",
      role: "deployer",
      params: replayId,
      answer: replay,
      run: ({ params }) => source.resume(...at(params)),
    },
  ];
}
