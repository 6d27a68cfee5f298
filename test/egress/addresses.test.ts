import { describe, expect, it } from "vitest";
import { isLoopback, reachOf } from "../../src/egress/addresses.ts";

describe("reachOf()", () => {
  it.each([
    ["1.1.1.1", "public"],
    ["9.255.255.255", "public"],
    ["172.15.255.255", "public"],
    ["172.32.0.0", "public"],
    ["192.167.255.255", "public"],
    ["100.63.255.255", "public"],
    ["223.255.255.255", "public"],
    ["10.0.0.0", "private"],
    ["10.255.255.255", "private"],
    ["172.16.0.0", "private"],
    ["172.31.255.255", "private"],
    ["192.168.1.5", "private"],
    ["100.64.0.1", "private"],
    ["100.127.255.255", "private"],
    ["0.0.0.0", "forbidden"],
    ["127.0.0.1", "forbidden"],
    ["127.255.255.254", "forbidden"],
    ["169.254.169.254", "forbidden"],
    ["198.18.0.1", "forbidden"],
    ["203.0.113.9", "forbidden"],
    ["224.0.0.1", "forbidden"],
    ["255.255.255.255", "forbidden"],
    ["2606:4700:4700::1111", "public"],
    ["fc00::1", "private"],
    ["fdff::1", "private"],
    ["::", "forbidden"],
    ["::1", "forbidden"],
    ["fe80::1", "forbidden"],
    ["fe80::1%eth0", "forbidden"],
    ["fec0::1", "forbidden"],
    ["ff02::1", "forbidden"],
    ["2001:db8::1", "forbidden"],
    ["2001::1", "forbidden"],
    ["2002:7f00:1::", "forbidden"],
    // IPv4 in another form: mapped, compatible, and by NAT64.
    ["::ffff:8.8.8.8", "forbidden"],
    ["::ffff:127.0.0.1", "forbidden"],
    ["::ffff:7f00:1", "forbidden"],
    ["::127.0.0.1", "forbidden"],
    ["64:ff9b::8.8.8.8", "public"],
    ["64:ff9b::808:808", "public"],
    ["64:ff9b::127.0.0.1", "forbidden"],
    ["64:ff9b::10.0.0.1", "forbidden"],
    ["64:ff9b::a9fe:a9fe", "forbidden"],
    ["64:ff9b::", "forbidden"],
    ["64:ff9b:1::8.8.8.8", "forbidden"],
    ["", "forbidden"],
    ["localhost", "forbidden"],
    ["0x7f.1", "forbidden"],
    ["127.1", "forbidden"],
  ])("%s is %s", (address, reach) => {
    expect(reachOf(address)).toBe(reach);
  });

  it("isLoopback() knows both families", () => {
    expect(["127.0.0.1", "127.9.9.9", "::1"].every(isLoopback)).toBe(true);
    expect(["10.0.0.1", "::2", "::ffff:127.0.0.1", "x"].some(isLoopback)).toBe(false);
  });
});
