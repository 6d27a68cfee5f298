/**
 * What the broker counts. Plain numbers; control/ turns them into metrics. Nothing is dropped without being counted
 * here, and the name says why (G4, G7).
 */

export type BrokerFigures = ReturnType<typeof zeroFigures>;

export function zeroFigures() {
  return {
    /** Devices logged in, connections not yet logged in. */
    devices: 0,
    halfOpen: 0,
    connections: 0,
    logins: 0,
    /** By reason. */
    refusedLogins: {
      protocol: 0,
      clientId: 0,
      access: 0,
      devicesMax: 0,
      sessionsMax: 0,
      halfOpenMax: 0,
      connectTimeout: 0,
    },
    /** Packets and connections that broke MQTT. */
    malformed: 0,
    oversized: 0,
    keepaliveExpired: 0,
    /** Publishes taken from devices by QoS; wills. */
    published: [0, 0, 0],
    wills: 0,
    acked: 0,
    /** QoS 2 publishes that were repeats and not taken again. */
    repeated: 0,
    /** Publishes to $ topics and to topics the device may not use: acknowledged and thrown away [MQTT-3.3.5-2]. */
    reservedTopics: 0,
    deniedTopics: 0,
    /** The journal refused: QoS 0 messages dropped, connections closed, wills dropped. */
    refusedQos0: 0,
    refusedConnections: 0,
    refusedWills: 0,
    /** Local delivery: messages handed to sessions; deliveries (messages times subscribers) on the way. */
    localDelivered: 0,
    localPending: 0,
    /** Of packets that have come in part. */
    inboundBytes: 0,
    inboundDisconnects: 0,
    /** Towards devices that do not read. */
    outboundBytes: 0,
    outboundDropped: 0,
    outboundDisconnects: 0,
    refusedSubscriptions: 0,
    subscriptions: 0,
    sessions: 0,
    sessionsExpired: 0,
    queued: 0,
    queuedBytes: 0,
    queueDropped: 0,
    retained: 0,
    retainedBytes: 0,
    retainedRefused: 0,
    /** Writes of the session store that failed and were tried again. */
    storeFailures: 0,
    /** Its records that were found damaged and left out. */
    storeDamaged: 0,
  };
}
