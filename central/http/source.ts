import { BlockList, isIP, isIPv6 } from "node:net";
import { getConnInfo } from "@hono/node-server/conninfo";
import type { Context } from "hono";

/** From which address a call comes. */
export type SourceOf = (c: Context) => string;

/**
 * Behind a proxy of ours the address is what that one saw: the last one of `X-Forwarded-For` that is no such proxy. What others say there counts
 * for nothing.
 * @param trusted addresses, or networks such as `10.0.0.0/8`
 */
export function sourcesBehind(trusted: readonly string[]): SourceOf {
  const proxies = new BlockList();
  for (const one of trusted) {
    const [address = "", bits] = one.split("/");
    const family = isIPv6(address) ? "ipv6" : "ipv4";
    if (bits === undefined) proxies.addAddress(address, family);
    else proxies.addSubnet(address, Number(bits), family);
  }
  const isProxy = (address: string): boolean => proxies.check(address, isIPv6(address) ? "ipv6" : "ipv4");
  return (c) => {
    let source = plain(getConnInfo(c).remote.address ?? "");
    const told = (c.req.header("x-forwarded-for") ?? "").split(",").map((part) => plain(part.trim()));
    while (isIP(source) !== 0 && isProxy(source)) {
      const before = told.pop();
      if (before === undefined || isIP(before) === 0) break;
      source = before;
    }
    return source;
  };
}

/** An IPv4 address as itself, also where the socket speaks IPv6. */
function plain(address: string): string {
  return /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1] ?? address;
}
