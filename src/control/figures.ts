/** What control reads of each room's figures. Plain numbers since the start, or as they are now. */

export interface Figures {
  readonly journal: JournalFigures;
  readonly sandbox: SandboxFigures;
  readonly egress: EgressFigures;
  readonly deployments: DeploymentFigures;
  readonly broker: BrokerFigures;
  /** By uplink. */
  readonly uplinks: Readonly<Record<string, UplinkFigures>>;
  readonly pipeline: PipelineFigures;
  readonly triggers: TriggerFigures;
  readonly stream: {
    readonly open: number;
    readonly sent: number;
    /** By why. */
    readonly leftOut: Readonly<Record<string, number>>;
  };
  readonly replays: ReplayFigures;
}

/** Of the control server itself. */
export interface ServerFigures {
  readonly connections: { readonly open: number; readonly crowdedOut: number };
  readonly uploads: { readonly bytes: number; readonly refused: number };
}

export interface ReplayFigures {
  readonly running: number;
  readonly events: number;
  readonly sent: number;
}

export interface TriggerFigures {
  readonly ticks: number;
  readonly missed: number;
  readonly rewound: number;
  /** Calls of webhooks, by what became of them. */
  readonly calls: Readonly<Record<string, number>>;
  readonly notices: number;
  /** By why. */
  readonly suppressed: Readonly<Record<string, number>>;
}

export interface BrokerFigures {
  readonly devices: number;
  readonly halfOpen: number;
  readonly connections: number;
  readonly logins: number;
  /** By reason. */
  readonly refusedLogins: Readonly<Record<string, number>>;
  readonly malformed: number;
  readonly oversized: number;
  readonly keepaliveExpired: number;
  /** By QoS. */
  readonly published: readonly number[];
  readonly wills: number;
  readonly acked: number;
  readonly repeated: number;
  readonly reservedTopics: number;
  readonly deniedTopics: number;
  readonly refusedQos0: number;
  readonly refusedConnections: number;
  readonly refusedWills: number;
  /** Devices whose socket is not read at the moment. */
  readonly held: number;
  readonly localDelivered: number;
  readonly localPending: number;
  readonly inboundBytes: number;
  readonly inboundDisconnects: number;
  readonly outboundBytes: number;
  readonly outboundDropped: number;
  readonly outboundDisconnects: number;
  readonly refusedSubscriptions: number;
  readonly subscriptions: number;
  readonly sessions: number;
  readonly sessionsExpired: number;
  readonly queued: number;
  readonly queuedBytes: number;
  readonly queueDropped: number;
  readonly retained: number;
  readonly retainedBytes: number;
  readonly retainedRefused: number;
  readonly storeFailures: number;
  readonly storeDamaged: number;
}

export interface UplinkFigures {
  readonly sent: number;
  readonly resent: number;
  readonly batches: number;
  readonly outstanding: number;
  readonly faults: number;
  readonly breakerOpened: number;
  readonly waitingBytes: number;
  readonly healthy: boolean;
}

export interface PipelineFigures {
  /** Shared runners in use. */
  readonly runners: number;
  readonly handlers: readonly {
    readonly name: string;
    readonly retried: number;
    /** By budget: how often it was spent. */
    readonly budgets: Readonly<Record<string, number>>;
    readonly heldBackMs: number;
    /** Since the start: events that ran, and how long they took; one count more than there are bounds, for what took longer. */
    readonly recent: {
      /** Of the last minutes, not since the start. */
      readonly heapBytes: number;
      readonly boundsMs: readonly number[];
      readonly total: {
        readonly events: number;
        readonly tookMs: number;
        readonly cpuMs: number;
        readonly counts: readonly number[];
      };
    };
  }[];
}

export interface JournalFigures {
  readonly recordBytes: number;
  readonly records: number;
  readonly recordRowsDropped: number;
  readonly commits: number;
  readonly commitMs: number;
  readonly commitMsMax: number;
  readonly writeFailures: number;
  readonly reopens: number;
  readonly readErrors: number;
  readonly refused: number;
  readonly chained: number;
  readonly lateSettlements: number;
  readonly damaged: number;
  readonly markFailures: number;
  readonly stateHits: number;
  readonly stateMisses: number;
  readonly stateExpired: number;
  readonly trimmedPages: number;
  /** By reason. */
  readonly dropped: { readonly full: number; readonly damaged: number; readonly asked: number; readonly dead: number };
  readonly stagedBytes: number;
  readonly usedBytes: number;
  readonly sizeMaxBytes: number;
  readonly diskFreeBytes: number;
  readonly diskReserveBytes: number;
  readonly eventBytes: number;
  readonly outboxBytes: number;
  readonly parkedBytes: number;
  readonly deadLetters: number;
  readonly deadBytes: number;
  readonly stateBytes: number;
  /** By handler. */
  readonly stateBytesOf: Readonly<Record<string, number>>;
  readonly claims: number;
  readonly feedBytes: number;
  readonly full: number;
  readonly failing: number;
}

export interface SandboxFigures {
  readonly runnersAwake: number;
  readonly runnersReady: number;
  readonly runnersSpare: number;
  readonly runnersStarted: number;
  readonly runnersLost: number;
  readonly killedForMemory: number;
  readonly killedForTime: number;
  readonly killedForNonsense: number;
  readonly memoryCgroup: number;
  readonly isolates: number;
  readonly isolatesRested: number;
  readonly isolatesYielded: number;
  readonly rssBytes: number;
  readonly batchesInFlight: number;
  readonly batches: number;
  readonly tasks: number;
  /** By handler. */
  readonly logLinesDropped: Readonly<Record<string, number>>;
}

export interface EgressFigures {
  readonly inFlight: number;
  readonly bytesHeld: number;
  readonly handlers: Readonly<Record<string, HandlerFetches>>;
}

export interface HandlerFetches {
  /** By what became of them. */
  readonly ends: Readonly<Record<string, number>>;
  readonly sentBytes: number;
  readonly receivedBytes: number;
}

export interface DeploymentFigures {
  readonly live: number;
  readonly failing: number;
  readonly deploys: number;
  readonly failures: number;
  readonly rollbacks: number;
}
