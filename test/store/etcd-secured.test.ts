import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { freePort } from "../../src/bench/own-etcd.ts";
import type { EtcdOptions } from "../../src/store/etcd-client.ts";
import { EtcdStore } from "../../src/store/etcd-store.ts";
import { type Change, StoreAway, StoreRefused } from "../../src/store/store.ts";
import { startEtcd } from "../support/etcd.ts";
import { until } from "../support/store-contract.ts";

function folder(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), "hafl-secured-"));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

function connect(t: TestContext, options: EtcdOptions): EtcdStore {
  const store = new EtcdStore(options);
  t.after(() => store.close());
  return store;
}

/** Writes, watches and leases with a store, as an agent does. */
async function use(store: EtcdStore): Promise<void> {
  const { revision } = await store.read("/hafl/");
  const seen: Change[] = [];
  const watch = store.watch("/hafl/", revision, { changed: (changes) => void seen.push(...changes), lost: assert.fail });
  const lease = await store.lease(5);
  assert.ok((await store.commit([{ key: "/hafl/k", revision: 0 }], [{ key: "/hafl/k", value: "1", lease }])).done);
  await until("the change", () => seen.some(({ value }) => value === "1"));
  await lease.revoke();
  await until("the end of the lease", () => seen.some(({ value }) => value === null));
  watch.close();
}

test("etcd with TLS: a certificate of our own is shown, and theirs has to be by the right authority", async (t) => {
  const dir = folder(t);
  const at = (name: string): string => join(dir, name);
  const openssl = (...args: string[]): unknown => execFileSync("openssl", args, { cwd: dir, stdio: "ignore" });
  const name = ["-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
  for (const ca of ["ca", "other"])
    openssl("req", "-x509", ...name, "-days", "2", "-subj", `/CN=${ca}`, "-keyout", `${ca}.key`, "-out", `${ca}.pem`);
  writeFileSync(at("ext"), "subjectAltName=IP:127.0.0.1\n");
  for (const who of ["server", "client"]) {
    openssl("req", ...name, "-subj", `/CN=${who}`, "-keyout", `${who}.key`, "-out", `${who}.csr`);
    const signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "ext"];
    openssl("x509", "-req", "-in", `${who}.csr`, ...signed, "-out", `${who}.pem`);
  }
  const secure = `https://127.0.0.1:${await freePort()}`;
  const plain = `http://127.0.0.1:${await freePort()}`;
  const certificates = ["--cert-file", at("server.pem"), "--key-file", at("server.key"), "--trusted-ca-file", at("ca.pem")];
  await startEtcd(
    t,
    ["--listen-client-urls", `${secure}`, ...certificates, "--client-cert-auth", "--listen-metrics-urls", plain],
    plain,
  );

  const tls = { ca: at("ca.pem"), cert: at("client.pem"), key: at("client.key") };
  const options = { endpoints: [secure], tls, user: null, passwordFile: null };
  await use(connect(t, options));
  for (const wrong of [
    { ...tls, ca: at("other.pem") },
    { ...tls, cert: null, key: null },
  ])
    await assert.rejects(connect(t, { ...options, tls: wrong }).read("/hafl/"), StoreAway);
});

test("etcd with users: the password is from a file, and what a user may not do is refused", async (t) => {
  const { endpoint } = await startEtcd(t);
  const dir = folder(t);
  const etcdctl = (...args: string[]): unknown =>
    execFileSync("etcdctl", ["--endpoints", endpoint, ...args], { env: { ...process.env, ETCDCTL_API: "3" }, stdio: "ignore" });
  etcdctl("user", "add", "root:rootpw");
  etcdctl("user", "grant-role", "root", "root");
  etcdctl("role", "add", "hafl");
  etcdctl("role", "grant-permission", "hafl", "--prefix=true", "readwrite", "/hafl/");
  etcdctl("user", "add", "agent:two words");
  etcdctl("user", "grant-role", "agent", "hafl");
  etcdctl("auth", "enable");
  const passwordFile = join(dir, "password");
  writeFileSync(passwordFile, "two words\n", { mode: 0o600 });
  const options = { endpoints: [endpoint], tls: { ca: null, cert: null, key: null }, user: "agent", passwordFile };
  const store = connect(t, options);
  await use(store);
  await assert.rejects(store.read("/other/"), StoreRefused);
  await assert.rejects(store.commit([], [{ key: "/other/k", value: "1" }]), StoreRefused);
  await use(store);
  await assert.rejects(connect(t, { ...options, user: null }).read("/hafl/"), StoreRefused);
  writeFileSync(passwordFile, "another\n");
  await assert.rejects(connect(t, options).read("/hafl/"), StoreRefused);
  await assert.rejects(connect(t, { ...options, passwordFile: join(dir, "none") }).read("/hafl/"), StoreRefused);
});
