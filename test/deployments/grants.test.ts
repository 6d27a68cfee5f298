/** What a deploy says of a handler's grants: those that it has, and those that the version before had not, or had. */
import { describe, expect, it } from "vitest";
import { createLog } from "../../src/log.ts";
import type { Log } from "../../src/log.ts";
import { Folder, openDeployments, settings, source } from "./opened.ts";

function listening(): { readonly log: Log; readonly lines: Record<string, unknown>[] } {
  const lines: Record<string, unknown>[] = [];
  const log = createLog({ level: "silent", pretty: false });
  log.info = ((fields: Record<string, unknown>, message: string) => {
    if (message === "handler live" || message.startsWith("canary")) lines.push(fields);
  }) as typeof log.info;
  return { log, lines };
}

const granting = (more: string): string => source("return 1", `{ topic: "a"${more} }`);

describe("the log line of a deploy", () => {
  it("has the grants, and what changed in them against the version before", async () => {
    const folder = new Folder();
    const { log, lines } = listening();
    folder.write("a.ts", granting(`, fetch: ["https://api.example.com/"], secrets: ["key"]`));
    const opened = await openDeployments(folder, {}, { log });
    expect(lines).toEqual([
      { handler: "a", version: 1, triggers: ["topic a"], fetch: ["https://api.example.com"], secrets: ["key"] },
    ]);
    folder.write(
      "a.ts",
      granting(`, fetch: ["https://api.example.com", { origin: "http://b.local:80", private: true }], secrets: []`),
    );
    await opened.deployments.scan();
    expect(lines[1]).toEqual({
      handler: "a",
      version: 2,
      onProbationAfter: 1,
      triggers: ["topic a"],
      fetch: ["https://api.example.com", "http://b.local (private)"],
      granted: ["fetch http://b.local (private)"],
      revoked: ["secret key"],
    });
    // By the gateway's config, which goes over the file's.
    await opened.deployments.reconfigure(settings(folder, { settings: { a: { fetch: [], secrets: ["other"] } } }));
    expect(lines[2]).toEqual({
      handler: "a",
      version: 2,
      triggers: ["topic a"],
      secrets: ["other"],
      granted: ["secret other"],
      revoked: ["fetch https://api.example.com", "fetch http://b.local (private)"],
    });
    expect(opened.live[2]?.settings).toMatchObject({ fetch: [], secrets: ["other"] });
  });

  it("says nothing of grants where there are none, and nothing of changes where nothing changed", async () => {
    const folder = new Folder();
    const { log, lines } = listening();
    folder.write("a.ts", granting(""));
    const opened = await openDeployments(folder, {}, { log });
    folder.write("a.ts", granting(`, fetch: ["https://a.example"]`));
    await opened.deployments.scan();
    folder.write("a.ts", granting(`, fetch: ["https://a.example"], type: "t"`));
    await opened.deployments.scan();
    expect(lines.map(({ fetch, granted, revoked }) => [fetch, granted, revoked])).toEqual([
      [undefined, undefined, undefined],
      [["https://a.example"], ["fetch https://a.example"], undefined],
      [["https://a.example"], undefined, undefined],
    ]);
  });

  it("has those of a canary, which makes requests too, against the live version", async () => {
    const folder = new Folder();
    const { log, lines } = listening();
    const opened = await openDeployments(folder, {}, { log });
    const bundle = (fetch: string): string =>
      `exports.config = { topic: "a", fetch: [${fetch}] }; exports.default = () => 1;`;
    const upload = { name: "a", sourceMap: "", file: "a.js" };
    await opened.deployments.deploy({ ...upload, code: bundle(""), share: undefined });
    await opened.deployments.deploy({ ...upload, code: bundle('"https://evil.example"'), share: 0.1 });
    expect(lines[1]).toMatchObject({ version: 2, beside: 1, granted: ["fetch https://evil.example"] });
  });

  it("compares with what was live before the gateway ended", async () => {
    const folder = new Folder();
    folder.write("a.ts", granting(`, fetch: ["https://a.example"]`));
    const before = await openDeployments(folder);
    await before.deployments.close();
    folder.write("a.ts", granting(`, fetch: ["https://b.example"]`));
    const { log, lines } = listening();
    await openDeployments(folder, {}, { log });
    expect(lines).toMatchObject([{ granted: ["fetch https://b.example"], revoked: ["fetch https://a.example"] }]);
  });
});

describe("renew()", () => {
  it("has those go live once more that it concerns, and one that cannot leaves what was", async () => {
    const folder = new Folder();
    folder.write("a.ts", granting(`, secrets: ["key"]`));
    folder.write("b.ts", granting(""));
    const opened = await openDeployments(folder);
    expect(opened.live.map(({ name }) => name)).toEqual(["a", "b"]);
    await opened.deployments.renew(({ settings: { secrets } }) => secrets.includes("key"));
    expect(opened.live.map(({ name }) => name)).toEqual(["a", "b", "a"]);
    expect(opened.deployments.handlers.map(({ name }) => name)).toEqual(["a", "b"]);
  });

  it("reports what cannot go live, and that goes on as it was", async () => {
    const folder = new Folder();
    folder.write("a.ts", granting(""));
    let isBroken = false;
    const opened = await openDeployments(
      folder,
      {},
      {
        live: async () => {
          if (isBroken) throw new Error("it cannot");
        },
      },
    );
    isBroken = true;
    await opened.deployments.renew(() => true);
    expect(opened.failed.map(([name, { message }]) => [name, message])).toEqual([["a", "it cannot"]]);
    expect(opened.deployments.handlers.map(({ version }) => version)).toEqual([1]);
  });

  it("that failed is not mended by the next look, but tried again until the handler has what has changed", async () => {
    const folder = new Folder();
    folder.write("a.ts", granting(""));
    let isBroken = false;
    let lives = 0;
    const live = async (): Promise<void> => {
      if (isBroken) throw new Error("it cannot");
      lives++;
    };
    const opened = await openDeployments(folder, {}, { live });
    isBroken = true;
    await opened.deployments.renew(() => true);
    await opened.deployments.scan();
    expect(opened.mended).toEqual([]);
    expect(opened.deployments.figures()).toMatchObject({ live: 1, failing: 1, failures: 1 });
    isBroken = false;
    await opened.deployments.scan();
    expect(lives).toBe(2);
    expect(opened.deployments.figures()).toMatchObject({ live: 1, failing: 0 });
    await opened.deployments.scan();
    expect(lives).toBe(2);
    isBroken = true;
    await opened.deployments.renew(() => true);
    isBroken = false;
    // Whatever it is that has changed this time.
    await opened.deployments.renew(() => false);
    expect(lives).toBe(3);
    expect(opened.deployments.figures()).toMatchObject({ live: 1, failing: 0 });
  });
});
