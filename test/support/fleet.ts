import type { ReleaseOffer } from "../../protocol/index.ts";
import { eventually, type TestCentral } from "./central.ts";
import type { TestGateway } from "./gateway-client.ts";

/** A site with a gateway that has said hello. */
export async function addGateway(central: TestCentral, site: string, environment = "dev"): Promise<TestGateway> {
  await central.admin("POST", "/v1/sites", { name: site, environment });
  const gateway = await central.addSite(site);
  await gateway.hello();
  return gateway;
}

/** Gateways that take what they are offered at once, and say what their machine made of it. */
export class Fleet {
  readonly silent = new Set<string>();
  /** They give 0.2.0 back. */
  readonly bad = new Set<string>();
  readonly taken = new Map<string, ReleaseOffer[]>();
  readonly #gateways = new Map<string, TestGateway>();
  readonly #running = new Map<string, { version: string; upgrade: object }>();
  readonly #desired = new Map<string, number>();

  static async of(central: TestCentral, sites: readonly string[], environment = "dev"): Promise<Fleet> {
    const fleet = new Fleet();
    for (const site of sites) {
      fleet.#gateways.set(site, await addGateway(central, site, environment));
      await fleet.says(site, "0.1.0", { state: "none" });
    }
    return fleet;
  }

  async says(site: string, version: string, upgrade: object): Promise<void> {
    this.#running.set(site, { version, upgrade });
    const desired = this.#desired.get(site) ?? 0;
    await this.#of(site).status({
      ...{ gatewayVersion: version, platform: "linux-x64", installed: "deb", upgrade },
      // each version is a start of its own
      startedAt: `2026-01-31T08:00:0${version.split(".")[1]}.000Z`,
      configuration: { reported: desired, state: desired === 0 ? "none" : "active" },
    });
  }

  async offer(site: string): Promise<ReleaseOffer | undefined> {
    const { desired } = (await this.#of(site).downlink({})).body;
    this.#desired.set(site, desired.revision);
    return desired.release;
  }

  async turn(): Promise<void> {
    for (const [site, { version, upgrade }] of this.#running) {
      if (this.silent.has(site)) continue;
      const offer = await this.offer(site);
      const taken = this.taken.get(site) ?? [];
      if (!offer || offer.version === version || taken.some(({ attempt }) => attempt === offer.attempt)) {
        await this.says(site, version, offer?.version === version ? { state: "kept", version } : upgrade);
        continue;
      }
      this.taken.set(site, [...taken, offer]);
      const got = await this.#of(site).fetchPackage(offer.file);
      if (got.bytes.length !== offer.size) throw new Error(`${site} got ${got.bytes.length} of ${offer.size}`);
      if (this.bad.has(site) && offer.version === "0.2.0") {
        const reason = "it did not become ready";
        await this.says(site, version, { state: "rolled-back", version: offer.version, reason, at: "2026-01-31T08:01:00.000Z" });
      } else await this.says(site, offer.version, { state: "kept", version: offer.version });
    }
  }

  async until(done: () => Promise<boolean>): Promise<void> {
    await eventually(
      async () => {
        await this.turn();
        return done();
      },
      (is) => is,
      120_000,
      250,
    );
  }

  #of(site: string): TestGateway {
    const gateway = this.#gateways.get(site);
    if (!gateway) throw new Error(`no gateway ${site}`);
    return gateway;
  }
}
