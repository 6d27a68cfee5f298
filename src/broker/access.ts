/**
 * Who may connect, publish and subscribe.
 *
 * Until authentication is configured there is one answer: anybody who reaches the loopback interface, which is why a
 * listener elsewhere is refused at start (listeners.ts, G8). Users, tokens and certificates come as further
 * implementations of {@link Access}.
 */

export type Login =
  | { readonly at: "granted" }
  /** CONNACK 4 (bad user name or password) or 5 (not authorized). */
  | { readonly at: "denied"; readonly returnCode: 4 | 5 };

export interface Access {
  connect(device: string, username: string | undefined, password: Buffer | undefined): Login | Promise<Login>;
  /** Asked for every publish: it has a fraction of a microsecond. */
  publish(device: string, topic: string): boolean;
  subscribe(device: string, filter: string): boolean;
}

/** Everybody may do everything: only behind a loopback listener. */
export const loopbackAccess: Access = {
  connect: () => ({ at: "granted" }),
  publish: () => true,
  subscribe: () => true,
};
