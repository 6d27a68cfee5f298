/** Routes about handlers as they run. */
import type { ApiRoute } from "./api.ts";
import type { ControlSource } from "./control.ts";
import { handlersAnswer } from "./handler-shapes.ts";
import type { HandlersAnswer } from "./handler-shapes.ts";

export function handlerRoutes(source: ControlSource): readonly ApiRoute[] {
  return [
    {
      method: "GET",
      path: "/api/v1/handlers",
      name: "listHandlers",
      summary: "Handlers and routes with what they did lately: rates, failures, times, versions under watch.",
      role: "viewer",
      answer: handlersAnswer,
      run: (): HandlersAnswer => ({ handlers: [...source.handlers()] }),
    },
  ];
}
