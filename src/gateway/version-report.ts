/** Versions of handlers as the control API shows and changes them. */
import type { VersionsSource } from "../control/control.ts";
import type { VersionsAnswer } from "../control/version-shapes.ts";
import type { Deployments } from "../deployments/deployments.ts";
import type { Pipeline } from "../pipeline.ts";

export function versionsSource(deployments: Deployments, pipeline: Pipeline): VersionsSource {
  return {
    list: (name) => answerOf(name, deployments, pipeline),
    deploy: async (upload) => ({ name: upload.name, ...(await deployments.deploy(upload)) }),
    promote: async (name, by) => ({ name, ...(await deployments.promote(name, by)) }),
    rollBack: async (name, { version, ...by }) => ({
      name,
      version: await deployments.rollBack(name, version, by),
      at: "live",
    }),
    remove: (name, by) => deployments.remove(name, by),
  };
}

async function answerOf(name: string, deployments: Deployments, pipeline: Pipeline): Promise<VersionsAnswer> {
  const { live, before, candidate, versions, history } = await deployments.versions(name);
  const watched = pipeline.figures().handlers.find((line) => line.name === name)?.versions;
  const none = (version: number) => ({ version, done: 0, failed: 0 });
  return {
    name,
    live: watched?.live.version === live ? watched.live : none(live),
    before: before === 0 ? undefined : before,
    candidate:
      candidate === undefined
        ? undefined
        : {
            ...(watched?.candidate?.version === candidate.version
              ? shownCandidate(watched.candidate)
              : none(candidate.version)),
            share: candidate.share,
            since: iso(candidate.sinceMs),
          },
    versions: versions.map(({ version, hash, builtMs, file, author, message }) => ({
      ...{ version, hash, file, author, message },
      built: iso(builtMs),
    })),
    history: history.map(({ atMs, ...step }) => ({ ...step, at: iso(atMs) })),
  };
}

type Watched = NonNullable<NonNullable<ReturnType<Pipeline["figures"]>["handlers"][number]["versions"]>["candidate"]>;

function shownCandidate({ shadow, ...rest }: Watched): Omit<NonNullable<VersionsAnswer["candidate"]>, "since"> {
  return shadow === undefined ? rest : { ...rest, shadow: { ...shadow, samples: [...shadow.samples] } };
}

const iso = (ms: number): string => new Date(ms).toISOString();
