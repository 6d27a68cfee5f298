/** What control reads of each room's figures. Plain numbers since the start, or as they are now. */

export interface Figures {
  readonly broker: BrokerFigures;
  /** By uplink. */
  readonly uplinks: Readonly<Record<string, UplinkFigures>>;
  readonly pipeline: PipelineFigures;
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
  readonly heldInflight: number;
  readonly heldRoom: number;
  readonly heldLocal: number;
  readonly localDelivered: number;
  readonly localPending: number;
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
  readonly handlers: readonly { readonly name: string; readonly retried: number }[];
}
