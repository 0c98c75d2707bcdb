import type { ConnectPacket } from "aedes";
import type { Connections } from "./connections.ts";
import type { Holds } from "./holds.ts";
import type { TimedClient } from "./hooks.ts";
import { Link } from "./link.ts";
import { maxTopicLength } from "./publications.ts";
import type { Refusals } from "./refusals.ts";
import type { Sessions } from "./sessions.ts";
import type { Users } from "./users.ts";

const maxClientIdLength = 256;

/** Return codes of CONNACK that refuse (MQTT 3.1.1, table 3.1): client id, server unavailable, username or password. */
export type RefusalCode = 2 | 3 | 4;

export interface AdmissionDeps {
  readonly users: Users;
  readonly connections: Connections;
  readonly sessions: Sessions;
  readonly holds: Holds;
  readonly refusals: Refusals;
}

/** Who is let in. */
export class Admission {
  readonly #deps: AdmissionDeps;

  constructor(deps: AdmissionDeps) {
    this.#deps = deps;
  }

  /** Looks at a CONNECT before its user is asked for; false: it is no CONNECT that a client may send, and gets no answer (MQTT 3.1.1, 4.8). */
  isWellFormed({ clientId, protocolVersion, will }: ConnectPacket): boolean {
    const { refusals } = this.#deps;
    const version = protocolVersion as number | undefined;
    // aedes answers "unacceptable protocol version"; the log says what to do about it
    if (version !== undefined && version > 4)
      refusals.note("this broker speaks MQTT 3.1.1 only; set the client to that version", { clientId, version });
    const topic = will?.topic;
    if (topic === undefined || (topic !== "" && topic.length <= maxTopicLength && !/[+#]/.test(topic))) return true;
    refusals.note("a will on something that is no topic", { clientId: clientId.slice(0, 64), topic: topic.slice(0, 200) });
    return false;
  }

  judge(
    client: TimedClient & { clean: boolean },
    username: string | undefined,
    password: Buffer | undefined,
  ): Link | RefusalCode {
    const { users, connections, refusals } = this.#deps;
    const user = users.authenticate(username, password);
    const clientId = client.id.slice(0, 64);
    if (!user) {
      refusals.note("wrong username or password", { username: username?.slice(0, 64), clientId });
      return 4;
    }
    // a second connection with a client id ends the first; another user's must not be ended that way
    const taken = connections.withId(client.id);
    if (client.id.length > maxClientIdLength || (taken && taken.user !== user)) {
      refusals.note("a client id that is too long, or in use by another user", { user: user.name, clientId });
      return 2;
    }
    if (!taken && !connections.hasRoom) {
      refusals.note("too many clients", { user: user.name, clientId });
      return 3;
    }
    const gate = connections.gateOf(client);
    // its connection has ended meanwhile; nobody reads the answer
    if (!gate) return 3;
    const closed = new AbortController();
    gate.once("close", () => {
      closed.abort();
      this.#deps.sessions.close(client);
    });
    const session = this.#deps.sessions.open(client, user);
    const link = new Link(client, session, gate, this.#deps.holds.openLine(closed.signal), closed.signal);
    connections.add(client, link);
    return link;
  }
}
