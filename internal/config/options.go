package config

import (
	"strings"

	"github.com/commserver/commserver/internal/seal"
)

// Prefix begins the name of every environment variable of CommServer.
const Prefix = "COMMS_"

// Option is one thing that can be set.
type Option struct {
	// Name is the environment variable without its prefix, such as DATA_DIR.
	Name string
	// Group is the heading under which the reference lists it.
	Group string
	// Type says in a word what its values look like.
	Type string
	// Default is the value in text form when nothing is set; empty means "none".
	Default string
	// DefaultNote replaces the default in the reference where the value alone says too little.
	DefaultNote string
	// Secret marks values that are masked everywhere and never taken from a flag.
	Secret bool
	// Help says what it does, in a sentence or two for an operator.
	Help string

	// url marks connection strings: masked in part, and as a flag only without a password.
	url bool
	set setter
}

// Env is the environment variable that sets the option.
func (o Option) Env() string { return Prefix + o.Name }

// EnvFile is the environment variable that names a file holding the value.
func (o Option) EnvFile() string { return o.Env() + "_FILE" }

// Flag is the long flag without its dashes, or "" for a secret: a value on the
// command line is visible to every user of the machine.
func (o Option) Flag() string {
	if o.Secret {
		return ""
	}
	return o.flagStem()
}

// FileFlag is the flag that names a file holding the value. Only secrets and
// connection strings have one; it is "" for the others.
func (o Option) FileFlag() string {
	if o.Secret || o.url {
		return o.flagStem() + "-file"
	}
	return ""
}

func (o Option) flagStem() string {
	return strings.ToLower(strings.ReplaceAll(o.Name, "_", "-"))
}

// Usage is the help with the environment variable, for flag listings. It has no
// backquotes: there they mark the word that stands for the value.
func (o Option) Usage() string {
	return strings.ReplaceAll(o.Help, "`", "") + " [$" + o.Env() + "]"
}

// Options lists every option in the order of the reference. The slice is the
// caller's own.
func Options() []Option {
	var all []Option
	for _, group := range [][]Option{
		listening(), storage(), secrets(), behaviour(), dispatching(), retention(), alerting(), logging(),
	} {
		all = append(all, group...)
	}
	return all
}

func listening() []Option {
	const group = "Listening"
	return []Option{
		{Name: "ADDR", Group: group, Type: "host:port", Default: "localhost:3008",
			Help: "Address that the API listens on. `:3008` listens on every interface; port 0 picks a free one.",
			set:  address(func(c *Config) *string { return &c.Addr })},
		{Name: "PUBLIC_URL", Group: group, Type: "URL", DefaultNote: "from `COMMS_ADDR`",
			Help: "Base of the callback URLs given to providers and of links, such as `https://comms.example.com`.",
			set:  setPublicURL},
		{Name: "TLS_CERT", Group: group, Type: "file",
			Help: "PEM file with the certificate chain. Set it together with `COMMS_TLS_KEY` to serve HTTPS.",
			set:  text(func(c *Config) *string { return &c.TLSCert })},
		{Name: "TLS_KEY", Group: group, Type: "file",
			Help: "PEM file with the private key of the certificate.",
			set:  text(func(c *Config) *string { return &c.TLSKey })},
		{Name: "TRUSTED_PROXIES", Group: group, Type: "networks",
			Help: "Networks (CIDR, comma-separated) of reverse proxies whose `X-Forwarded-For` is believed.",
			set:  networks(func(c *Config) *[]prefix { return &c.TrustedProxies })},
		{Name: "CONNECTIONS_PER_ADDRESS", Group: group, Type: "number", Default: "1000",
			Help: "Connections that one client address (of IPv6: one /64 network) may have open at a time; more are closed. `COMMS_TRUSTED_PROXIES` have no limit; 0 switches it off.",
			set:  number(func(c *Config) *int { return &c.ConnectionsPerAddress }, 0, 1_000_000)},
		{Name: "INTERNAL_ADDR", Group: group, Type: "host:port", DefaultNote: "off",
			Help: "Private address, such as `localhost:3009` or `10.0.0.5:3009`, that serves `/metrics`, profiles (`/debug/pprof/`) and `/healthz` without a key. A host name, a public address, and `:3009`, which is every interface, are refused unless `COMMS_INTERNAL_OPEN` says `yes`.",
			set:  address(func(c *Config) *string { return &c.InternalAddr })},
		{Name: "INTERNAL_OPEN", Group: group, Type: "yes or no", Default: "no",
			Help: "Says that something else, such as a container's network, keeps strangers away from `COMMS_INTERNAL_ADDR`, so that any address may be used.",
			set:  yes(func(c *Config) *bool { return &c.InternalOpen })},
	}
}

func storage() []Option {
	const group = "Storage"
	return []Option{
		{Name: "DATA_DIR", Group: group, Type: "folder", Default: "./data",
			Help: "Holds the SQLite file and the secrets that are generated on the first start (mode 0600).",
			set:  text(func(c *Config) *string { return &c.DataDir })},
		{Name: "DATABASE_URL", Group: group, Type: "URL", DefaultNote: "SQLite in the data folder", url: true,
			Help: "`postgres://user:password@host/database`, or `sqlite:///absolute/path`, or `sqlite:relative/path`.",
			set:  setDatabaseURL},
		{Name: "DATABASE_DIRECT_URL", Group: group, Type: "URL", url: true,
			Help: "The same PostgreSQL past a transaction pooler, used for notifications only. Without it, nodes behind a pooler look for new messages every 100 ms.",
			set:  setDirectURL},
	}
}

func secrets() []Option {
	const group = "Secrets"
	return []Option{
		{Name: "ADMIN_KEY", Group: group, Type: "text", Secret: true, DefaultNote: "generated in the data folder (SQLite); required (PostgreSQL)",
			Help: "Key of the admin API, sent as `X-Admin-Key`: it makes and ends apps and their keys, and acts for every app. At least 16 characters, better 32. Without it, the first start on SQLite writes one to the file `admin-key` in the data folder (mode 0600) and later starts read it there; to change it, remove the file and restart.",
			set:  key(func(c *Config) *seal.Secret { return &c.AdminKey })},
		{Name: "PROVISIONING_KEY", Group: group, Type: "text", Secret: true, DefaultNote: "provisioning is off",
			Help: "Bootstrap secret of `/api/provision`, sent as `X-Provisioning-Key`. At least 16 characters, better 32.",
			set:  key(func(c *Config) *seal.Secret { return &c.ProvisioningKey })},
		{Name: "ENCRYPTION_KEYS", Group: group, Type: "key ring", Secret: true, DefaultNote: "generated in the data folder (SQLite); required (PostgreSQL)",
			Help: "Key ring `id:base64(32 bytes)[,id:…]` that protects stored provider credentials. The first key encrypts, all of them decrypt.",
			set:  keyRing},
		{Name: "AUTH_FAILURES_PER_MINUTE", Group: group, Type: "number", Default: "20",
			Help: "Failed authentications allowed per minute from one address for one app, before the answer is 429. Correct keys always pass.",
			set:  number(func(c *Config) *int { return &c.AuthFailuresPerMinute }, 1, 100_000)},
	}
}

func behaviour() []Option {
	const group = "Behaviour"
	return []Option{
		{Name: "ROLE", Group: group, Type: "all, api or worker", Default: "all",
			Help: "Parts that this process runs. `api` and `worker` need PostgreSQL.",
			set:  choice(func(c *Config) *Role { return &c.Role }, roleNames())},
		{Name: "DEFAULT_REGION", Group: group, Type: "country", DefaultNote: "international numbers only",
			Help: "Two-letter country code, such as `GH`, in which phone numbers written nationally are read.",
			set:  setRegion},
		{Name: "LIVE_FALLBACK", Group: group, Type: "sandbox or fail", Default: "sandbox",
			Help: "What happens to messages of a live app when no provider is configured at all: captured by the sandbox, or failed. Where one is configured and switched off, they wait.",
			set:  choice(func(c *Config) *Fallback { return &c.LiveFallback }, fallbackNames())},
		{Name: "ALLOW_PRIVATE_TARGETS", Group: group, Type: "networks",
			Help: "Private networks (CIDR, comma-separated) that outgoing connections may reach, plain HTTP and every port included. For tests and intranets.",
			set:  networks(func(c *Config) *[]prefix { return &c.AllowPrivateTargets })},
	}
}

func dispatching() []Option {
	const group = "Dispatch"
	return []Option{
		{Name: "MAX_IN_FLIGHT", Group: group, Type: "number", Default: "512",
			Help: "Attempts that one node runs at the same time.",
			set:  number(func(c *Config) *int { return &c.MaxInFlight }, 1, 100_000)},
		{Name: "MAX_BYTES_IN_FLIGHT", Group: group, Type: "bytes", Default: "128MiB",
			Help: "Content and attachments of large messages (64 KiB and more) that one node holds in memory for attempts, until they are handed over. Above it large messages wait (`server_busy`) while small ones of other apps, channels and lanes go on.",
			set:  bytes(func(c *Config) *int64 { return &c.MaxBytesInFlight }, 16<<20, 1<<40)},
		{Name: "CRITICAL_RESERVE", Group: group, Type: "percent", Default: "10",
			Help: "Share of `COMMS_MAX_IN_FLIGHT` and `COMMS_MAX_BYTES_IN_FLIGHT`, and of each provider configuration's `ratePerDay` and `maxConcurrency`, that only CRITICAL messages may use.",
			set:  number(func(c *Config) *int { return &c.CriticalReserve }, 0, 90)},
		{Name: "RETRY_SCHEDULE", Group: group, Type: "durations", Default: "5s,30s,2m,10m,30m,1h",
			Help: "Pauses between rounds of attempts after transient results, each varied by 20 %. The last one repeats.",
			set:  setRetrySchedule},
		{Name: "RETRY_HORIZON", Group: group, Type: "duration", Default: "24h",
			Help: "How long a message without `ttlSeconds` is retried before it ends FAILED, from its first attempt on. One that was never tried waits.",
			set:  duration(func(c *Config) *dur { return &c.RetryHorizon }, second, 30*day)},
		{Name: "RECEIPT_TIMEOUT", Group: group, Type: "duration", Default: "72h",
			Help: "How long after SENT a provider that reports may take to say what became of a message, before the message is shown as `unconfirmed`. Its status stays.",
			set:  duration(func(c *Config) *dur { return &c.ReceiptTimeout }, minute, 365*day)},
		{Name: "DRAIN_TIMEOUT", Group: group, Type: "duration", Default: "25s",
			Help: "How long running attempts may go on after SIGTERM. What has not answered by then has an unknown outcome.",
			set:  duration(func(c *Config) *dur { return &c.DrainTimeout }, 0, 10*minute)},
		{Name: "LEASE", Group: group, Type: "duration", Default: "10s",
			Help: "How long a node owns a shard without renewing it: the time until others take over after a crash.",
			set:  duration(func(c *Config) *dur { return &c.Lease }, 300*millisecond, 10*minute)},
		{Name: "HEARTBEAT", Group: group, Type: "duration", Default: "2s",
			Help: "How often a node renews its shards. At most a third of `COMMS_LEASE`.",
			set:  duration(func(c *Config) *dur { return &c.Heartbeat }, 50*millisecond, 3*minute)},
	}
}

func retention() []Option {
	const group = "Retention"
	return []Option{
		{Name: "RETAIN_CONTENT", Group: group, Type: "duration", Default: "30d",
			Help: "How long subject, body, attachments and whatever else was sent are kept after the last thing that happened to a message that has ended. See [retention.md](retention.md).",
			set:  duration(func(c *Config) *dur { return &c.RetainContent }, minute, 3650*day)},
		{Name: "RETAIN_MESSAGES", Group: group, Type: "duration", Default: "400d",
			Help: "How long messages, their events and their idempotency keys are kept, from when they were accepted: at least 30 days, for which a key is promised to answer. A message that has not ended is never removed.",
			set:  duration(func(c *Config) *dur { return &c.RetainMessages }, 0, 3650*day)}, // rules say how short it may be, and why
	}
}

func logging() []Option {
	const group = "Logs"
	return []Option{
		{Name: "LOG_LEVEL", Group: group, Type: "debug, info, warn or error", Default: "info",
			Help: "Least severe level that is written.",
			set:  setLogLevel},
		{Name: "LOG_FORMAT", Group: group, Type: "auto, text or json", Default: "auto",
			Help: "`auto` is text on a terminal and JSON elsewhere.",
			set:  choice(func(c *Config) *LogFormat { return &c.LogFormat }, logFormatNames())},
	}
}
