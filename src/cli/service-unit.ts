/** The systemd unit of the agent: an ordinary user, two capabilities, and nothing else that it does not need. */

export interface ServiceUnit {
  /** The command line that runs the agent. */
  readonly command: readonly string[];
  /** User and group. */
  readonly user: string;
  /** Groups besides. systemd starts nothing in one that does not exist. */
  readonly groups?: readonly string[];
}

/** A word of a command line as systemd reads it (systemd.service(5), "Command lines"). */
function quoted(word: string): string {
  const plain = word.replaceAll("%", "%%").replaceAll("$", "$$$$");
  return /^[\w@%+=:,./$-]+$/.test(plain) ? plain : `"${plain.replace(/["\\]/g, "\\$&").replaceAll("\n", "\\n")}"`;
}

/** Whether a program lies where ProtectHome=yes would hide it. */
const atHome = (word: string): boolean => /^\/(home|root|run\/user)\//.test(word);

/** The text of the unit. */
export function serviceUnit({ command, user, groups = [] }: ServiceUnit): string {
  return `# Written by hafl install-service; changes belong in hafl.service.d/ (systemctl edit hafl).
[Unit]
Description=Haflinger, layer-4 load balancer
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart=${command.map(quoted).join(" ")}
ExecReload=/bin/kill -HUP $MAINPID
WatchdogSec=30
Restart=on-failure
RestartSec=1
# Wrong usage or config: starting again does not help.
RestartPreventExitStatus=2
KillMode=mixed
TimeoutStopSec=60

User=${user}
Group=${user}
${groups.length === 0 ? "" : `SupplementaryGroups=${groups.join(" ")}\n`}AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW
CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_RAW
NoNewPrivileges=yes
# Counters, flows and what is to be undone outlive the agent: the next one goes on with them.
RuntimeDirectory=hafl
RuntimeDirectoryPreserve=yes
StateDirectory=hafl

# TUN devices are made here; there is no other device that it needs.
DevicePolicy=closed
DeviceAllow=/dev/net/tun rw
ProtectSystem=strict
ProtectHome=${command.some(atHome) ? "read-only" : "yes"}
PrivateTmp=yes
# Of the kernel's settings only those of the network may be changed: VIPs need some.
ProtectKernelTunables=yes
ReadWritePaths=/proc/sys/net
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
ProtectProc=invisible
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_PACKET
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
RemoveIPC=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
# MemoryDenyWriteExecute is not possible: V8 compiles.

[Install]
WantedBy=multi-user.target
`;
}

/** The user, for systemd-sysusers. */
export const sysusers = (user: string): string => `u ${user} - "Haflinger load balancer"\n`;
