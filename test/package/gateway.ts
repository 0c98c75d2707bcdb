import type { QueueDepth } from "../../gateway/queue/change.ts";
import type { CentralSide } from "./central.ts";
import { InstalledRole } from "./installed.ts";
import type { Machine } from "./machine.ts";
import { expect } from "./steps.ts";

/** The installed gateway, as somebody on the machine sees it. */
export class InstalledGateway extends InstalledRole {
  constructor(machine: Machine) {
    super(machine, "gateway");
  }

  /** As root does it, while somebody at central lets its key in. */
  async enroll(central: CentralSide): Promise<void> {
    const enrolling = this.plantgate("enroll", "--central", central.url, "--token", await central.makeSite());
    const fingerprint = await central.confirmKey(enrolling);
    const { code, out, err } = await enrolling;
    expect(code === 0, "enroll ends well", out + err);
    expect(err.includes(fingerprint), "it shows the key that central let in", err);
  }

  /** What answers at its own address; undefined: nothing does. */
  async health(): Promise<{ readonly version?: string; readonly link?: string } | undefined> {
    // the machine has no program that fetches
    const script = `exec 3<>/dev/tcp/127.0.0.1/8430 && printf 'GET /health HTTP/1.0\\r\\nHost: 127.0.0.1:8430\\r\\n\\r\\n' >&3 && cat <&3`;
    const { code, out } = await this.machine.run(["timeout", "20", "bash", "-c", script]);
    const body = out.slice(out.indexOf("\r\n\r\n"));
    return code === 0 && out.startsWith("HTTP/1.1 200 ") ? JSON.parse(body) : undefined;
  }

  /** Messages that wait for central. */
  async waiting(): Promise<number> {
    const depth = JSON.parse(await this.machine.must(["plantgate", "queue", "depth", "--json"])) as QueueDepth;
    return depth.lanes.reduce((sum, lane) => sum + (lane.lane === "inbound" ? 0 : lane.last - lane.acknowledged), 0);
  }
}
