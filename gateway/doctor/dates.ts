import { X509Certificate } from "node:crypto";
import { type EpochMs, type Finding, fault, ok, warning } from "../../protocol/index.ts";

const dayMs = 86_400_000;
/** Of a chain that OpenSSL finds out of date by a clock that is right, while its certificate is good. */
export const authorityOver = "an authority in its certificate's chain is out of date";
/** So long before its end somebody should hear of it. */
const soonDays = 30;

/** Whether a certificate is good at this time, and for how long. */
export function judgeDates(
  certificate: X509Certificate,
  { now, subject, advice }: { readonly now: EpochMs; readonly subject: string; readonly advice: string },
): Finding {
  const [from, to] = [certificate.validFromDate, certificate.validToDate];
  const day = to.toISOString().slice(0, 10);
  if (now > to.getTime()) return fault(`the certificate has expired on ${day}`, advice, subject);
  if (now < from.getTime())
    return fault(`the certificate is not valid before ${from.toISOString().slice(0, 10)}`, advice, subject);
  const days = Math.floor((to.getTime() - now) / dayMs);
  if (days < soonDays) return warning(`the certificate expires in ${days} days, on ${day}`, advice, subject);
  return ok(`valid until ${day}`, subject);
}

/** Whether that is all that is wrong with it: of an expired one, or one that is not valid yet, nothing more has to be said elsewhere. */
export function isOutOfDate(certificate: X509Certificate, now: EpochMs): boolean {
  return now > certificate.validToDate.getTime() || now < certificate.validFromDate.getTime();
}

/** The certificates of a PEM file. */
export function certificatesIn(text: string): X509Certificate[] {
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return blocks.map((block) => new X509Certificate(block));
}
