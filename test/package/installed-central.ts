import { CentralSide } from "./central.ts";
import { InstalledRole } from "./installed.ts";
import { Machine } from "./machine.ts";
import { type MachineNetwork, openNetwork } from "./network.ts";

const port = 8420;

/** A central on a machine of its own: one cable to its people, one to the plant, and no way from the one to the other. */
export class InstalledCentral extends InstalledRole {
  readonly plant: MachineNetwork;
  readonly side: CentralSide;

  private constructor(machine: Machine, plant: MachineNetwork) {
    super(machine, "central");
    this.plant = plant;
    this.side = new CentralSide({
      url: `http://${plant.outside}:${port}`,
      peopleUrl: `http://${machine.network.inside}:${port}`,
      tokenFile: machine.path("var/lib/plantgate/central/admin.token"),
    });
  }

  /** @param root where the machine's files will be: nothing is there yet */
  static async open(root: string): Promise<InstalledCentral> {
    const people = await openNetwork();
    try {
      return new InstalledCentral(new Machine(root, people), await openNetwork(people));
    } catch (error) {
      await people[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** What its settings have to say, so that both cables reach it. @param more lines of YAML */
  listenToAll(more = ""): void {
    this.machine.write("etc/plantgate/central.yaml", `host: 0.0.0.0\n${more}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.machine[Symbol.asyncDispose]();
    await this.plant[Symbol.asyncDispose]();
    await this.machine.network[Symbol.asyncDispose]();
  }
}
