/** Names that no host, service, pool, site, rule or record may have. */

/**
 * Whether a name is a property of every JavaScript object (`constructor`, `toString`, `__proto__`, ...). A look-up by such a name in
 * an object finds what nobody put there, so it is refused wherever a name comes from outside.
 */
export const isReservedName = (name: string): boolean => name in Object.prototype;
