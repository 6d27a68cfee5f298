/** Which fault a network or TLS error is. */
import { Fault, messageOf } from "../fault.ts";

/** Codes of Node and OpenSSL for "the certificate or the handshake is wrong", which waiting does not mend. */
const TLS_CODE =
  /^(ERR_TLS_|ERR_SSL_|CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|HOSTNAME_MISMATCH|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH)/;
/** TLS errors that a cut line gives as well. */
const TLS_PASSING = /^ERR_SSL_(UNEXPECTED_EOF|BAD_RECORD|DECRYPTION)|^ERR_TLS_HANDSHAKE_TIMEOUT/;

export function networkFault(thrown: unknown, where: string): Fault {
  if (thrown instanceof Fault) return thrown;
  const code = (thrown as NodeJS.ErrnoException | undefined)?.code ?? "";
  const message = detail(thrown);
  if (TLS_CODE.test(code) && !TLS_PASSING.test(code)) {
    return new Fault("UPLINK_DENIED", `TLS: ${message}`, { where, cause: thrown });
  }
  if (code === "ETIMEDOUT" || code === "ERR_TLS_HANDSHAKE_TIMEOUT") {
    return new Fault("UPLINK_TIMEOUT", message, { where, cause: thrown });
  }
  return new Fault("UPLINK_UNREACHABLE", message, { where, cause: thrown });
}

/** Trying several addresses fails with an AggregateError whose own message is empty. */
function detail(thrown: unknown): string {
  if (thrown instanceof AggregateError && thrown.errors.length > 0) return messageOf(thrown.errors[0]);
  return messageOf(thrown) || (thrown as NodeJS.ErrnoException).code || "the connection failed";
}
