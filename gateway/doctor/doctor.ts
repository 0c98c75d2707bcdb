import { type Check, type Finding, fault } from "../../protocol/index.ts";
import { checkCentral } from "./central.ts";
import { checkCertificates } from "./certificates.ts";
import { checkSkew } from "./clock.ts";
import { checkConnectors } from "./connector-probe.ts";
import { checkDisk } from "./disk.ts";
import { Facts, type Place } from "./facts.ts";
import { checkNames } from "./names.ts";
import { checkConfiguration, checkIdentity, checkSecrets, checkSettings } from "./own.ts";
import { checkPorts } from "./ports.ts";
import { checkProcess } from "./process.ts";
import { checkQueue } from "./queue.ts";

/** What a doctor asks of a gateway; what every machine is asked stands in packaging/doctor. */
const table: readonly (Omit<Check, "run"> & { readonly run: (facts: Facts) => Promise<readonly Finding[]> })[] = [
  { name: "settings", about: "settings and what enrollment wrote are there and valid", limitMs: 12_000, run: checkSettings },
  { name: "identity", about: "the gateway's key and central's pinned key can be read", limitMs: 12_000, run: checkIdentity },
  {
    name: "process",
    about: "the process that holds the data folder answers, and its lock is there",
    limitMs: 12_000,
    run: checkProcess,
  },
  {
    name: "disk",
    about: "room by the queue's ladder, inodes, budgets that do not fit the disk",
    limitMs: 15_000,
    late: fault("its file system does not say within 15 s how full it is", "Look at dmesg and at the disk"),
    run: checkDisk,
  },
  { name: "clock", about: "more than 5 s (warning) or 60 s (fault) from central's", limitMs: 24_000, run: checkSkew },
  { name: "names", about: "host names of central (or its proxy) and of connectors resolve", limitMs: 24_000, run: checkNames },
  {
    name: "central",
    about:
      "proxy, TCP, TLS, that it is central, of no older version, that our key counts there and its signing key is the pinned one",
    limitMs: 24_000,
    late: fault("it is not known within 24 s whether central answers", "Look at central, the proxy, and the line to it"),
    run: checkCentral,
  },
  {
    name: "connectors",
    about: "each system of the configuration in effect answers (TCP, TLS, what it is), and what the running gateway says of it",
    limitMs: 24_000,
    run: checkConnectors,
  },
  {
    name: "certificates",
    about: "expired, not valid yet, or less than 30 days left: central's, a private CA's, connectors', our own for OPC UA",
    limitMs: 24_000,
    run: checkCertificates,
  },
  {
    name: "configuration",
    about: "the configuration on disk can be read, and is what runs; one that was refused",
    limitMs: 12_000,
    run: checkConfiguration,
  },
  {
    name: "secrets",
    about: "every secret that the configuration names has a value, that is not empty",
    limitMs: 12_000,
    run: checkSecrets,
  },
  {
    name: "queue",
    about: "damage, locked keys, a fence, backlog past 80 % of a budget, what does not drain, what waits for a person",
    limitMs: 24_000,
    run: checkQueue,
  },
  {
    name: "ports",
    about: "ports to listen on are free or the gateway's own, at an address of this machine",
    limitMs: 15_000,
    run: checkPorts,
  },
];

export function gatewayChecks(facts: Facts): Check[] {
  return table.map(({ run, ...check }) => ({ ...check, run: () => run(facts) }));
}

export { Facts, type Place };
