import { startPostgres } from "../../postgres-server.ts";
import { expect } from "../../steps.ts";
import { until } from "../../wait.ts";
import type { Installing } from "./install.ts";

const passwordFile = "/etc/plantgate/pgpass";

/** The same unit with a database on another machine; central's own machine has none of PostgreSQL's tools. */
export async function runOnPostgres({ step, note, installed }: Installing): Promise<void> {
  const { machine, side } = installed;
  await using server = await step("a PostgreSQL server outside", () => startPostgres(machine.network.outside));
  await step("within its unit central works on PostgreSQL", async () => {
    await machine.must(["install", "-m", "600", "-o", "plantgate-central", "/dev/null", passwordFile]);
    machine.write(passwordFile.slice(1), server.passwordLine);
    installed.listenToAll(`databaseUrl: ${server.url}\n`);
    await machine.must(["systemctl", "restart", installed.unitName]);
    await installed.isActive();
    await side.call("POST", "/v1/sites", { name: "brno", environment: "dev" });
    await machine.must(["systemctl", "restart", installed.unitName]);
    const { sites } = await until(
      () => side.call<{ sites: { name: string }[] }>("GET", "/v1/sites"),
      ({ sites: each }) => each.length > 0,
    );
    expect(sites[0]?.name === "brno", "it finds in the database what it wrote there", sites);
  });
  await step("a backup without PostgreSQL's tools says which package has them", async () => {
    const { code, out, err } = await machine.run(["plantgate", "backup", "--out", "/root/database/"], {
      env: { PGPASSFILE: passwordFile },
    });
    expect(code === 1 && /postgresql-client/.test(err), "it names the package", `${code}: ${out}${err}`);
    note(err.trim());
  });
  await machine.must(["rm", passwordFile]);
  installed.listenToAll();
  await machine.must(["systemctl", "restart", installed.unitName]);
}
