/** Routes of handlers' versions: deploy, look, promote, roll back, remove. */
import type { z } from "zod";
import { Fault } from "../fault.ts";
import type { ApiRoute } from "./api.ts";
import type { VersionsSource } from "./control.ts";
import * as shapes from "./version-shapes.ts";
import type { DeployedAnswer } from "./version-shapes.ts";
import { handlerName } from "./shapes.ts";

/** A bundle and its map, each character of which may be six in JSON; deployments say what is too much. */
const DEPLOY_BYTES_MAX = 64 * 1024 * 1024;

export function versionRoutes(source: VersionsSource): readonly ApiRoute[] {
  const at = (suffix: string): string => `/api/v1/handlers/{name}${suffix}`;
  const nameOf = (params: Readonly<Record<string, string>>): string => params["name"] ?? "";
  return [
    {
      method: "GET",
      path: at("/versions"),
      name: "versions",
      summary: "A handler's versions: which is live (0: it is gone), which is tried, and how it came to that.",
      role: "viewer",
      params: handlerName,
      answer: shapes.versions,
      run: ({ params }) => source.list(nameOf(params)),
    },
    {
      method: "POST",
      path: at("/versions"),
      name: "deploy",
      summary: "Take a bundle on: it goes live, or is tried as a canary or a shadow. Refused, nothing has changed.",
      role: "deployer",
      params: handlerName,
      body: shapes.deployBody,
      bodyMax: DEPLOY_BYTES_MAX,
      answer: shapes.deployed,
      run: async ({ params, body }): Promise<DeployedAnswer> => {
        const { canary, shadow, ...bundle } = body as z.output<typeof shapes.deployBody>;
        if (canary !== undefined && shadow) throw new Fault("CONTROL_REQUEST", "it is a canary or a shadow, not both");
        const share = shadow ? 0 : canary;
        return await source.deploy({ name: nameOf(params), ...bundle, share });
      },
    },
    {
      method: "POST",
      path: at("/promote"),
      name: "promote",
      summary: "Make what is tried beside the live version the live one.",
      role: "deployer",
      params: handlerName,
      body: shapes.promoteBody,
      answer: shapes.deployed,
      run: ({ params, body }) => source.promote(nameOf(params), body as z.output<typeof shapes.promoteBody>),
    },
    {
      method: "POST",
      path: at("/rollback"),
      name: "rollback",
      summary:
        "Drop what is tried; or make the version before, or any that is kept, the live one again. Of a handler that is gone: bring it back.",
      role: "deployer",
      params: handlerName,
      body: shapes.rollbackBody,
      answer: shapes.deployed,
      run: ({ params, body }) => source.rollBack(nameOf(params), body as z.output<typeof shapes.rollbackBody>),
    },
    {
      method: "DELETE",
      path: at(""),
      name: "removeHandler",
      summary: "Take a handler out of service that was deployed here and has no source in the handlers' folder.",
      role: "deployer",
      params: handlerName,
      query: shapes.removeQuery,
      answer: shapes.removed,
      run: async ({ params, query }) => ({
        waiting: await source.remove(nameOf(params), query as z.output<typeof shapes.removeQuery>),
      }),
    },
  ];
}
