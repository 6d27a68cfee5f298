/**
 * `node:http`, for every file here. An `import` of it asks the module for all that it exports, a browser's WebSocket among
 * it, and has Node load its whole fetch for that: 70 ms of a gateway's start, and 13 MB for as long as it runs.
 */
const http = process.getBuiltinModule("node:http");

export const { Agent, request, STATUS_CODES, validateHeaderName, validateHeaderValue } = http;
export type Agent = InstanceType<typeof http.Agent>;
