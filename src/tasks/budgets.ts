/** Which budget of its handler an event that failed has spent, for the metric; by the failure's code. */
export const BUDGETS: Readonly<Record<string, string>> = {
  SANDBOX_CPU: "cpu",
  SANDBOX_TIMEOUT: "time",
  SANDBOX_MEMORY: "memory",
  SANDBOX_OUTPUTS_TOO_MANY: "outputs",
  SANDBOX_RESULT_TOO_LARGE: "result",
  SANDBOX_STATE_TOO_LARGE: "state",
  SANDBOX_STATE_TOTAL: "state-total",
  SANDBOX_TIMERS_TOO_MANY: "timers",
  SANDBOX_FETCHES_TOO_MANY: "fetches",
  SANDBOX_FETCH_TOO_LARGE: "fetch",
  HANDLER_FETCH_TIMEOUT: "fetch",
  TASK_CHAIN_TOO_LONG: "hops",
};
/** Held-back outputs, which fail nothing. */
export const RATE = "rate";
