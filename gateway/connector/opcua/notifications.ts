import { type ClientSubscription, DataChangeNotification, type DataValue, type NotificationMessage } from "node-opcua-client";

/** One value of a notification; `handle` is the client handle that its monitored item was created with. */
export interface Reported {
  readonly handle: number;
  readonly dataValue: DataValue;
}

export interface NotificationSink {
  /** The values of one notification message, in the server's order. Must not throw. */
  values(reported: readonly Reported[]): void;
  /** A message is missing: values of any item may be lost. Comes before the values that follow the hole. */
  hole(): void;
  /** A publish response came, with data or as keep-alive. */
  alive(): void;
}

const highestSequenceNumber = 0xffffffff;

/**
 * Takes the messages of a subscription as they come, before the library deals them out to items: in order, whole, and with their sequence
 * numbers, which the library does not check.
 *
 * Two of its habits are worked around here and nowhere else. A keep-alive carries the number of the *next* message, and the library stores it
 * as received: after a reconnect it then asks Republish for one too many, and a message that was lost with the connection stays lost. So its
 * record is set back to the last message with data. And it warns for each item it did not create itself, so the values are taken out of the
 * message; state changes of the subscription stay in.
 */
export function takeNotifications(subscription: ClientSubscription, sink: NotificationSink): void {
  const record = subscription as ClientSubscription & { lastSequenceNumber: number };
  // the first message has number 1 (OPC 10000-4, 5.14.1.1): one that is lost before any other arrived can be asked for
  let last = 0;
  record.lastSequenceNumber = last;
  subscription.on("raw_notification", (message: NotificationMessage) => {
    sink.alive();
    const data = message.notificationData ?? [];
    if (data.length === 0) {
      record.lastSequenceNumber = last;
      return;
    }
    const expected = last === highestSequenceNumber ? 1 : last + 1;
    const { sequenceNumber } = message;
    if (sequenceNumber <= last && sequenceNumber !== expected && last - sequenceNumber < 0x7fffffff) {
      // replayed although we have it; the record must not go back with it
      message.notificationData = [];
      record.lastSequenceNumber = last;
      return;
    }
    if (sequenceNumber !== expected) sink.hole();
    last = sequenceNumber;
    const reported: Reported[] = [];
    for (const notification of data) {
      if (!(notification instanceof DataChangeNotification)) continue;
      for (const { clientHandle, value } of notification.monitoredItems ?? [])
        reported.push({ handle: clientHandle, dataValue: value });
    }
    message.notificationData = data.filter((notification) => !(notification instanceof DataChangeNotification));
    if (reported.length > 0) sink.values(reported);
  });
}
