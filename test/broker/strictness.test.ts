import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ackPacket, connectPacket, packet, publishPacket, RawMqtt, subscribePacket } from "../doubles/raw-mqtt.ts";
import { openBroker } from "../doubles/test-broker.ts";
import type { TestBroker } from "../doubles/test-broker.ts";

/** What the device sees: the connection closes without a word, after a CONNACK, or stays open after these packets. */
type Answer = "closed" | { connack: number } | { open: string[] };

interface Sequence {
  readonly name: string;
  /** Hex, with text in quotes. */
  readonly bytes: Buffer;
  readonly answer: Answer;
}

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(/\s/g, ""), "hex");
const field = (text: string | Buffer): Buffer => {
  const bytes = Buffer.from(text as string);
  return Buffer.concat([Buffer.of(bytes.length >> 8, bytes.length & 0xff), bytes]);
};
const framed = (first: number, ...parts: Buffer[]): Buffer => {
  const body = Buffer.concat(parts);
  if (body.length > 127) throw new Error("too long for this");
  return Buffer.concat([Buffer.of(first, body.length), body]);
};
/** A CONNECT from its parts; the sound one by default. */
function connect(
  parts: {
    first?: number;
    name?: string;
    level?: number;
    flags?: number;
    keepalive?: number;
    fields?: (string | Buffer)[];
    more?: Buffer;
  } = {},
): Buffer {
  const {
    first = 0x10,
    name = "MQTT",
    level = 4,
    flags = 2,
    keepalive = 0,
    fields = ["id"],
    more = Buffer.alloc(0),
  } = parts;
  const head = Buffer.of(level, flags, keepalive >> 8, keepalive & 0xff);
  return framed(first, field(name), head, ...fields.map((one) => field(one)), more);
}
const publish = (first: number, topic: string | Buffer, ...rest: Buffer[]): Buffer =>
  framed(first, field(topic), ...rest);
const subscribe = (filter: string | Buffer, qos = 0, first = 0x82): Buffer =>
  framed(first, hex("0001"), field(filter), Buffer.of(qos));
const unsubscribe = (filter: string | Buffer, first = 0xa2): Buffer => framed(first, hex("0001"), field(filter));

/** Text that is not well-formed UTF-8, or that MQTT does not allow in it. */
const UNFIT: Record<string, Buffer> = {
  "a lone continuation byte": hex("61 80 62"),
  "an overlong slash": hex("61 c0 af"),
  "an overlong NUL": hex("61 c0 80"),
  "a surrogate": hex("61 ed a0 80"),
  "a code point beyond U+10FFFF": hex("f4 90 80 80"),
  "a sequence that is cut short": hex("61 e2 82"),
  "byte FF": hex("61 ff"),
  "U+0000": hex("61 00 62"),
  "U+0001": hex("61 01"),
  "U+001F": hex("1f"),
  "U+007F": hex("61 7f"),
  "U+0085": hex("61 c2 85"),
  "U+FFFF": hex("61 ef bf bf"),
  "U+FDD0": hex("ef b7 90"),
  "U+1FFFE": hex("f0 9f bf be"),
};

const LOGIN: Record<string, [Buffer, Answer]> = {
  "a sound CONNECT": [connect(), { open: ["connack"] }],
  "MQTT 3.1": [connect({ name: "MQIsdp", level: 3 }), { open: ["connack"] }],
  "an empty client id and a clean session": [connect({ fields: [""] }), { open: ["connack"] }],
  "an empty client id and no clean session [MQTT-3.1.3-8]": [connect({ flags: 0, fields: [""] }), { connack: 2 }],
  "an empty client id in MQTT 3.1": [connect({ name: "MQIsdp", level: 3, fields: [""] }), { connack: 2 }],
  "24 characters of client id in MQTT 3.1": [
    connect({ name: "MQIsdp", level: 3, fields: ["x".repeat(24)] }),
    { connack: 2 },
  ],
  "24 characters of client id in MQTT 3.1.1": [connect({ fields: ["x".repeat(24)] }), { open: ["connack"] }],
  "level 5 (MQTT 5)": [connect({ level: 5 }), { connack: 1 }],
  "level 6": [connect({ level: 6 }), { connack: 1 }],
  "level 0": [connect({ level: 0 }), { connack: 1 }],
  "MQTT with level 3": [connect({ level: 3 }), { connack: 1 }],
  "MQIsdp with level 4": [connect({ name: "MQIsdp", level: 4 }), { connack: 1 }],
  "a mosquitto bridge's level": [connect({ level: 0x84 }), { connack: 1 }],
  "protocol name mqtt": [connect({ name: "mqtt" }), "closed"],
  "protocol name HTTP": [connect({ name: "HTTP" }), "closed"],
  "an empty protocol name": [connect({ name: "" }), "closed"],
  "the reserved CONNECT flag [MQTT-3.1.2-3]": [connect({ flags: 3 }), "closed"],
  "will QoS without a will [MQTT-3.1.2-13]": [connect({ flags: 0b0000_1010 }), "closed"],
  "will retain without a will [MQTT-3.1.2-15]": [connect({ flags: 0b0010_0010 }), "closed"],
  "will QoS 3 [MQTT-3.1.2-14]": [connect({ flags: 0b0001_1110, fields: ["id", "t", "p"] }), "closed"],
  "a password without a user name [MQTT-3.1.2-22]": [connect({ flags: 0x42, fields: ["id", "pw"] }), "closed"],
  "a user name flag without a user name [MQTT-3.1.2-19]": [connect({ flags: 0x82 }), "closed"],
  "a password flag without a password [MQTT-3.1.2-21]": [connect({ flags: 0xc2, fields: ["id", "me"] }), "closed"],
  "a user name without its flag [MQTT-3.1.2-18]": [connect({ fields: ["id", "me"] }), "closed"],
  "a password without its flag [MQTT-3.1.2-20]": [connect({ flags: 0x82, fields: ["id", "me", "pw"] }), "closed"],
  "a will flag without a will [MQTT-3.1.2-9]": [connect({ flags: 6 }), "closed"],
  "a will flag with a topic alone": [connect({ flags: 6, fields: ["id", "t"] }), "closed"],
  "a will without its flag": [connect({ fields: ["id", "t", "p"] }), "closed"],
  "a sound will": [connect({ flags: 6, fields: ["id", "t", "p"] }), { open: ["connack"] }],
  "a will with an empty payload": [connect({ flags: 6, fields: ["id", "t", ""] }), { open: ["connack"] }],
  "a will on an empty topic": [connect({ flags: 6, fields: ["id", "", "p"] }), "closed"],
  "a will on a/+/b": [connect({ flags: 6, fields: ["id", "a/+/b", "p"] }), "closed"],
  "a will on a/#": [connect({ flags: 6, fields: ["id", "a/#", "p"] }), "closed"],
  "bytes after the client id": [connect({ more: hex("00") }), "closed"],
  "a client id longer than the packet": [framed(0x10, field("MQTT"), hex("04 02 0000 0010 6964")), "closed"],
  "nothing after the flags": [framed(0x10, field("MQTT"), hex("04 02")), "closed"],
  "no flags": [framed(0x10, field("MQTT"), hex("04")), "closed"],
  "an empty CONNECT": [hex("1000"), "closed"],
  "CONNECT with header flags [MQTT-2.2.2-2]": [connect({ first: 0x11 }), "closed"],
  "CONNECT with DUP": [connect({ first: 0x18 }), "closed"],
  "a password that is no UTF-8": [
    connect({ flags: 0xc2, fields: ["id", "me", hex("ff 00 fe")] }),
    { open: ["connack"] },
  ],
  "an empty user name": [connect({ flags: 0x82, fields: ["id", ""] }), { open: ["connack"] }],
  "PINGREQ first [MQTT-3.1.0-1]": [hex("c000"), "closed"],
  "PUBLISH first": [publishPacket("a", "x"), "closed"],
  "SUBSCRIBE first": [subscribe("a"), "closed"],
  "DISCONNECT first": [hex("e000"), "closed"],
  "packet type 0 first": [hex("0000"), "closed"],
  "packet type 15 first": [hex("f000"), "closed"],
  "a length of five bytes [§2.2.3]": [hex("10 80 80 80 80 01"), "closed"],
  HTTP: [Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "closed"],
  "a TLS hello": [hex("16 03 01 00 c4 01 00 00 c0 03 03"), "closed"],
};

const AFTER_LOGIN: Record<string, [Buffer, Answer]> = {
  "a second CONNECT [MQTT-3.1.0-2]": [connect(), "closed"],
  CONNACK: [hex("20 02 00 00"), "closed"],
  SUBACK: [hex("90 03 00 01 00"), "closed"],
  UNSUBACK: [hex("b0 02 00 01"), "closed"],
  PINGRESP: [hex("d0 00"), "closed"],
  "packet type 0": [hex("00 00"), "closed"],
  "packet type 15": [hex("f0 00"), "closed"],
  PINGREQ: [hex("c0 00"), { open: ["pingresp"] }],
  "PINGREQ with flags": [hex("c1 00"), "closed"],
  "PINGREQ with a body": [hex("c0 01 00"), "closed"],
  DISCONNECT: [hex("e0 00"), "closed"],
  "DISCONNECT with flags [MQTT-3.14.1-1]": [hex("e1 00"), "closed"],
  "DISCONNECT with a body": [hex("e0 01 00"), "closed"],
  "a length of five bytes": [hex("30 80 80 80 80 01"), "closed"],
  "a length in more bytes than it needs": [hex("c0 80 00"), { open: ["pingresp"] }],

  "QoS 0": [publish(0x30, "a"), { open: [] }],
  "QoS 0 with DUP [MQTT-3.3.1-2]": [publish(0x38, "a"), "closed"],
  "QoS 1": [publish(0x32, "a", hex("0001")), { open: ["puback"] }],
  "QoS 1 with DUP": [publish(0x3a, "a", hex("0001")), { open: ["puback"] }],
  "QoS 2": [publish(0x34, "a", hex("0001")), { open: ["pubrec"] }],
  "QoS 3 [MQTT-3.3.1-4]": [publish(0x36, "a", hex("0001")), "closed"],
  "QoS 3 with DUP": [publish(0x3e, "a", hex("0001")), "closed"],
  "QoS 1 with packet id 0 [MQTT-2.3.1-1]": [publish(0x32, "a", hex("0000")), "closed"],
  "QoS 2 with packet id 0": [publish(0x34, "a", hex("0000")), "closed"],
  "QoS 1 without a packet id": [publish(0x32, "a"), "closed"],
  "QoS 2 without a packet id": [publish(0x34, "a"), "closed"],
  "QoS 1 with half a packet id": [publish(0x32, "a", hex("00")), "closed"],
  "PUBLISH without a topic": [hex("30 00"), "closed"],
  "PUBLISH with half a topic length": [hex("30 01 00"), "closed"],
  "PUBLISH with a topic longer than the packet": [hex("30 04 00 05 61 62"), "closed"],
  "PUBLISH to an empty topic [MQTT-4.7.3-1]": [publish(0x30, ""), "closed"],
  "PUBLISH to a/+": [publish(0x30, "a/+"), "closed"],
  "PUBLISH to # [MQTT-3.3.2-2]": [publish(0x30, "#"), "closed"],
  "PUBLISH to a+b": [publish(0x30, "a+b"), "closed"],
  "PUBLISH to a topic of 101 levels": [publish(0x30, "/".repeat(100)), "closed"],
  "PUBLISH to a topic of 100 levels": [publish(0x30, "/".repeat(99)), { open: [] }],
  "PUBLISH to /": [publish(0x32, "/", hex("0001")), { open: ["puback"] }],
  "PUBLISH with a BOM in its topic [MQTT-1.5.3-3]": [publish(0x32, "\uFEFFa", hex("0001")), { open: ["puback"] }],
  "PUBLISH to a topic with U+FFFD": [publish(0x32, "a\uFFFD", hex("0001")), { open: ["puback"] }],
  "QoS 1 to $SYS/x [MQTT-3.3.5-2]": [publish(0x32, "$SYS/x", hex("0001")), { open: ["puback"] }],
  "QoS 2 to $x": [publish(0x34, "$x", hex("0001")), { open: ["pubrec"] }],

  "PUBREL of an unknown id": [hex("62 02 00 09"), { open: ["pubcomp"] }],
  "PUBREL without its header flags [MQTT-3.6.1-1]": [hex("60 02 00 09"), "closed"],
  "PUBREL with other flags": [hex("64 02 00 09"), "closed"],
  "PUBREL with DUP in MQTT 3.1.1": [hex("6a 02 00 09"), "closed"],
  "PUBREL of id 0": [hex("62 02 00 00"), "closed"],
  "PUBREL that is too short": [hex("62 01 00"), "closed"],
  "PUBREL that is too long": [hex("62 03 00 01 00"), "closed"],
  "PUBREL without a body": [hex("62 00"), "closed"],
  "PUBACK of an unknown id": [hex("40 02 00 09"), { open: [] }],
  "PUBACK with flags": [hex("42 02 00 09"), "closed"],
  "PUBACK of id 0": [hex("40 02 00 00"), "closed"],
  "PUBACK that is too short": [hex("40 01 09"), "closed"],
  "PUBACK that is too long": [hex("40 04 00 09 00 00"), "closed"],
  "PUBACK without a body": [hex("40 00"), "closed"],
  "PUBREC of an unknown id": [hex("50 02 00 09"), { open: ["pubrel"] }],
  "PUBREC with flags": [hex("52 02 00 09"), "closed"],
  "PUBREC of id 0": [hex("50 02 00 00"), "closed"],
  "PUBREC that is too short": [hex("50 01 09"), "closed"],
  "PUBREC that is too long": [hex("50 03 00 09 00"), "closed"],
  "PUBCOMP of an unknown id": [hex("70 02 00 09"), { open: [] }],
  "PUBCOMP with flags": [hex("72 02 00 09"), "closed"],
  "PUBCOMP of id 0": [hex("70 02 00 00"), "closed"],
  "PUBCOMP that is too short": [hex("70 01 09"), "closed"],
  "PUBCOMP that is too long": [hex("70 03 00 09 00"), "closed"],

  SUBSCRIBE: [subscribe("a/b", 1), { open: ["suback 1"] }],
  "SUBSCRIBE to #": [subscribe("#", 2), { open: ["suback 2"] }],
  "SUBSCRIBE to +": [subscribe("+"), { open: ["suback 0"] }],
  "SUBSCRIBE to /": [subscribe("/"), { open: ["suback 0"] }],
  "SUBSCRIBE to a/+/#": [subscribe("a/+/#"), { open: ["suback 0"] }],
  "SUBSCRIBE to a//b": [subscribe("a//b"), { open: ["suback 0"] }],
  "SUBSCRIBE to $share/g/a": [subscribe("$share/g/a"), { open: ["suback 128"] }],
  "SUBSCRIBE to $SYS/#": [subscribe("$SYS/#"), { open: ["suback 128"] }],
  "SUBSCRIBE with header flags 0 [MQTT-3.8.1-1]": [subscribe("a", 0, 0x80), "closed"],
  "SUBSCRIBE with other header flags": [subscribe("a", 0, 0x83), "closed"],
  "SUBSCRIBE with DUP in MQTT 3.1.1": [subscribe("a", 0, 0x8a), "closed"],
  "SUBSCRIBE with packet id 0": [framed(0x82, hex("0000"), field("a"), hex("00")), "closed"],
  "SUBSCRIBE without a packet id": [hex("82 00"), "closed"],
  "SUBSCRIBE with half a packet id": [hex("82 01 00"), "closed"],
  "SUBSCRIBE without a filter [MQTT-3.8.3-3]": [hex("82 02 00 01"), "closed"],
  "SUBSCRIBE without a QoS": [framed(0x82, hex("0001"), field("a")), "closed"],
  "SUBSCRIBE with QoS 3 [MQTT-3.8.3-4]": [subscribe("a", 3), "closed"],
  "SUBSCRIBE with reserved QoS bits": [subscribe("a", 4), "closed"],
  "SUBSCRIBE with a filter longer than the packet": [framed(0x82, hex("0001 0009 61 00")), "closed"],
  "SUBSCRIBE to an empty filter": [subscribe(""), "closed"],
  "SUBSCRIBE to a#": [subscribe("a#"), "closed"],
  "SUBSCRIBE to a/#/b [MQTT-4.7.1-2]": [subscribe("a/#/b"), "closed"],
  "SUBSCRIBE to #/a": [subscribe("#/a"), "closed"],
  "SUBSCRIBE to ##": [subscribe("##"), "closed"],
  "SUBSCRIBE to a/b#": [subscribe("a/b#"), "closed"],
  "SUBSCRIBE to a+": [subscribe("a+"), "closed"],
  "SUBSCRIBE to +a": [subscribe("+a"), "closed"],
  "SUBSCRIBE to a/+b [MQTT-4.7.1-3]": [subscribe("a/+b"), "closed"],
  "SUBSCRIBE to a/b+/c": [subscribe("a/b+/c"), "closed"],
  "SUBSCRIBE to ++": [subscribe("++"), "closed"],
  "SUBSCRIBE to +#": [subscribe("+#"), "closed"],
  "SUBSCRIBE to 101 levels": [subscribe("/".repeat(100)), "closed"],
  "SUBSCRIBE to a sound filter and a bad one": [
    framed(0x82, hex("0001"), field("a"), hex("00"), field("b#"), hex("00")),
    "closed",
  ],
  "SUBSCRIBE to the same filter twice [MQTT-3.8.4-5]": [
    framed(0x82, hex("0001"), field("a"), hex("00"), field("b"), hex("02"), field("a"), hex("01")),
    { open: ["suback 1 2 1"] },
  ],
  UNSUBSCRIBE: [unsubscribe("a"), { open: ["unsuback"] }],
  "UNSUBSCRIBE with header flags 0 [MQTT-3.10.1-1]": [unsubscribe("a", 0xa0), "closed"],
  "UNSUBSCRIBE with other header flags": [unsubscribe("a", 0xa6), "closed"],
  "UNSUBSCRIBE with packet id 0": [framed(0xa2, hex("0000"), field("a")), "closed"],
  "UNSUBSCRIBE without a filter [MQTT-3.10.3-2]": [hex("a2 02 00 01"), "closed"],
  "UNSUBSCRIBE of an empty filter": [unsubscribe(""), "closed"],
  "UNSUBSCRIBE of a#": [unsubscribe("a#"), "closed"],
  "UNSUBSCRIBE with a filter longer than the packet": [framed(0xa2, hex("0001 0009 61")), "closed"],
  "UNSUBSCRIBE with a byte to spare": [framed(0xa2, hex("0001"), field("a"), hex("00")), "closed"],
};

for (const [name, text] of Object.entries(UNFIT)) {
  LOGIN[`${name} in a client id [MQTT-3.1.3-4]`] = [connect({ fields: [text] }), "closed"];
  LOGIN[`${name} in a user name [MQTT-3.1.3-11]`] = [connect({ flags: 0x82, fields: ["id", text] }), "closed"];
  LOGIN[`${name} in a will topic [MQTT-3.1.3-10]`] = [connect({ flags: 6, fields: ["id", text, "p"] }), "closed"];
  AFTER_LOGIN[`PUBLISH to a topic with ${name} [MQTT-3.3.2-1]`] = [publish(0x30, text), "closed"];
  AFTER_LOGIN[`SUBSCRIBE to a filter with ${name} [MQTT-3.8.3-1]`] = [subscribe(text), "closed"];
  AFTER_LOGIN[`UNSUBSCRIBE of a filter with ${name}`] = [unsubscribe(text), "closed"];
}

const sequences = (table: Record<string, [Buffer, Answer]>): Sequence[] =>
  Object.entries(table).map(([name, [bytes, answer]]) => ({ name, bytes, answer }));

/** A PINGREQ after it tells an open connection from one that will close. */
async function answerOf(device: RawMqtt, expected: Answer): Promise<Answer> {
  device.send(packet({ cmd: "pingreq" }));
  const count = typeof expected === "object" && "open" in expected ? expected.open.length + 1 : Infinity;
  await device.until(() => device.isClosed || device.packets.length >= count, 1000).catch(() => {});
  const [first] = device.packets;
  if (first?.cmd === "connack" && device.isClosed) return { connack: first.returnCode ?? -1 };
  if (device.isClosed) return "closed";
  const names = device.packets.map((one) =>
    one.cmd === "suback" ? `suback ${(one.granted as number[]).join(" ")}` : one.cmd,
  );
  names.splice(names.indexOf("pingresp"), 1);
  return { open: names };
}

describe("a device that sends this gets that answer (B3)", () => {
  let gateway: TestBroker;
  let number = 0;
  beforeAll(async () => {
    gateway = await openBroker({ connectRateMax: 100_000 });
  });
  afterAll(() => gateway[Symbol.asyncDispose]());

  it.each(sequences(LOGIN))("to log in: $name", async ({ bytes, answer }) => {
    const device = await RawMqtt.open(gateway.port);
    device.send(bytes);
    expect(await answerOf(device, answer)).toEqual(answer);
    device.cut();
  });

  it.each(sequences(AFTER_LOGIN))("when logged in: $name", async ({ bytes, answer }) => {
    const device = await RawMqtt.login(gateway.port, { clientId: `strict-${number++}` });
    device.send(bytes);
    expect(await answerOf(device, answer)).toEqual(answer);
    device.cut();
  });

  it("MQTT 3.1 may set DUP on PUBREL, SUBSCRIBE and UNSUBSCRIBE", async () => {
    const device = await RawMqtt.login(gateway.port, { clientId: "old", protocolId: "MQIsdp", protocolVersion: 3 });
    device.send(subscribe("a", 1, 0x8a), unsubscribe("a", 0xaa), hex("6a 02 00 09"));
    expect((await device.take(3)).map((one) => one.cmd).toSorted()).toEqual(["pubcomp", "suback", "unsuback"]);
    device.cut();
  });

  it("a packet may come byte by byte", async () => {
    const device = await RawMqtt.open(gateway.port);
    for (const byte of Buffer.concat([
      connectPacket({ clientId: "slow-typist" }),
      publishPacket("a/b", "hello", 1, 3),
      subscribePacket(4, ["a/+", 0]),
    ])) {
      device.send(Buffer.of(byte));
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect((await device.take(3)).map((one) => one.cmd)).toEqual(["connack", "puback", "suback"]);
    expect(gateway.ingress.events.at(-1)).toMatchObject({ device: "slow-typist", payload: "hello" });
    device.cut();
  });

  it("what comes before CONNACK waits for it", async () => {
    const device = await RawMqtt.open(gateway.port);
    device.send(
      connectPacket({ clientId: "eager" }),
      subscribePacket(1, ["eager/#", 1]),
      publishPacket("eager/1", "x", 1, 2),
      ackPacket("pubrel", 3),
    );
    expect((await device.take(4)).map((one) => one.cmd)).toEqual(
      expect.arrayContaining(["connack", "suback", "puback", "pubcomp"]),
    );
    expect(device.packets[0]?.cmd ?? "publish").toBe("publish");
    device.cut();
  });

  it("a device that speaks MQTT 5 is told what to do in the log", () => {
    expect(gateway.logged).toContainEqual(
      expect.objectContaining({
        msg: "login refused: the device speaks MQTT 5",
        remedy: expect.stringContaining("3.1.1") as string,
      }),
    );
  });
});
