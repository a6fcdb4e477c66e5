/** What a config says about its store: where the parts of it are kept that are the same for all hosts. */
import { z } from "zod";
import { bad, expected, object, oneOf, type Read, read } from "./config-fields.ts";
import { show } from "./config-problem.ts";

export type StoreConfig =
  /** The config file itself: it has all parts. */
  | { readonly kind: "file" }
  | {
      readonly kind: "etcd";
      readonly endpoints: readonly string[];
      /** Of PEM files, by path; null: the system's authorities, or no certificate of our own. */
      readonly tls: { readonly ca: string | null; readonly cert: string | null; readonly key: string | null };
      readonly user: string | null;
      /** Path of the file that holds the password. */
      readonly passwordFile: string | null;
      /** What all keys begin with. */
      readonly prefix: string;
    };

const path = z.custom<string>(
  (x) => typeof x === "string" && x.startsWith("/"),
  expected("an absolute path", "write /etc/hafl/ca.pem"),
);
const TLS = { ca: path.nullable().default(null), cert: path.nullable().default(null), key: path.nullable().default(null) };

const ENDPOINT = /^https?:\/\/[A-Za-z0-9.:[\]-]+:\d{1,5}$/;
function readEndpoints(input: unknown): Read<readonly string[] | null> {
  if (input === undefined) return { value: null };
  const remedy = "write [https://10.0.0.1:2379]";
  if (!Array.isArray(input) || input.length === 0) return bad(`${show(input)} is not a list of endpoints (${remedy})`);
  const wrong = input.find((one) => typeof one !== "string" || !ENDPOINT.test(one));
  if (wrong !== undefined) return bad(`${show(wrong)} is not an endpoint (${remedy})`);
  const schemes = new Set((input as string[]).map((one) => one.split(":")[0]));
  return schemes.size === 1 ? { value: input as string[] } : bad("has both http and https (write the same for all)");
}

const STORE = {
  kind: oneOf("file", "etcd").default("file"),
  endpoints: read(readEndpoints),
  tls: object(TLS, "{ ca: /etc/hafl/ca.pem }").prefault({}),
  user: z.string().min(1).nullable().default(null),
  passwordFile: path.nullable().default(null),
  prefix: z
    .custom<string>((x) => typeof x === "string" && /^(\/[A-Za-z0-9._-]+)+$/.test(x), expected("a prefix", "write /hafl"))
    .default("/hafl"),
};
export const STORE_KEYS = { "": Object.keys(STORE), tls: Object.keys(TLS) };

export const store = object(STORE, "{ kind: etcd, endpoints: [https://10.0.0.1:2379] }")
  .refine(({ kind, endpoints }) => kind === "file" || endpoints !== null, {
    message: "endpoints is missing (write endpoints: [https://10.0.0.1:2379])",
  })
  .refine(
    ({ kind, endpoints, user, passwordFile }) =>
      kind === "etcd" || (endpoints === null && user === null && passwordFile === null),
    {
      message: "endpoints, user and passwordFile are for kind: etcd (write kind: etcd)",
    },
  )
  .refine(({ tls }) => (tls.cert === null) === (tls.key === null), {
    message: "tls.cert and tls.key belong together (write both)",
  })
  .refine(({ user, passwordFile }) => passwordFile === null || user !== null, {
    message: "user is missing (write the name that the password is for)",
  })
  .transform(
    ({ kind, endpoints, ...rest }): StoreConfig => (kind === "file" ? { kind } : { kind, endpoints: endpoints!, ...rest }),
  )
  .prefault({});
