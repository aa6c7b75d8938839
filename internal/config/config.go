// Package config turns environment variables, flags and files into one checked
// Config.
//
// One table (Options) is the only list of what can be set. The command line, the
// reference in docs/config.md, masking and the refusal of unknown names follow
// from it, so a new option is one new row.
//
// It promises that a Config returned without an error is complete and obeys every
// rule between options, that a refused start names each variable at fault and says
// how to mend it, and that no secret value appears in an error, a setting or the
// reference. It reads nothing but what the caller hands in and the files that
// `COMMS_…_FILE` variables and `--…-file` flags name. It does not open ports or
// databases, does not generate secrets and keeps no state.
package config

import (
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/commserver/commserver/internal/seal"
)

// Config is everything that an operator can set, parsed and checked by Load.
// It is a plain value: copy it freely, do not change it after the start.
type Config struct {
	// Addr is the listen address of the API, as host:port; port 0 picks a free one.
	Addr string
	// PublicURL is the base of callback URLs and links, without a slash at its end.
	// It is empty when it is to be derived: use BaseURL.
	PublicURL string
	// InternalAddr is the private listen address for metrics and profiles; empty is off.
	InternalAddr string
	// InternalOpen allows one that others may reach.
	InternalOpen bool
	// TLSCert and TLSKey name PEM files; both are empty for plain HTTP.
	TLSCert, TLSKey string
	// TrustedProxies may set the client address by X-Forwarded-For.
	TrustedProxies []netip.Prefix

	// ConnectionsPerAddress is how many connections one client address may have open; 0 is any number.
	ConnectionsPerAddress int

	// DataDir holds the SQLite file and what is generated on the first start.
	DataDir string
	// Database says which store is used.
	Database Database

	// AdminKey is the X-Admin-Key of the admin API; not set means "generate one" (SQLite only).
	AdminKey seal.Secret
	// ProvisioningKey is the bootstrap secret of /api/provision; not set switches it off.
	ProvisioningKey seal.Secret
	// EncryptionKeys is the key ring in text form, proven to be one that seal.ParseRing reads;
	// not set means "generate one" (SQLite only).
	EncryptionKeys seal.Secret
	// AuthFailuresPerMinute is how often one (address, app) pair may fail to authenticate.
	AuthFailuresPerMinute int

	// Role says which parts of the server this process runs.
	Role Role
	// DefaultRegion is the ISO 3166 code in which national phone numbers are read;
	// empty accepts international numbers only.
	DefaultRegion string
	// AllowPrivateTargets are networks that outgoing connections may reach although private.
	AllowPrivateTargets []netip.Prefix
	// LiveFallback is what a live app without any provider does.
	LiveFallback Fallback

	// LogLevel is the least severe level that is written.
	LogLevel slog.Level
	// LogFormat is the form of a log line.
	LogFormat LogFormat

	// DrainTimeout is how long running attempts may go on after SIGTERM.
	DrainTimeout time.Duration
	// Lease is how long a node owns a shard without renewing it.
	Lease time.Duration
	// Heartbeat is how often a node renews its shards; at most a third of Lease.
	Heartbeat time.Duration
	// MaxInFlight is how many attempts one node runs at once.
	MaxInFlight int
	// MaxBytesInFlight is how many bytes of large messages one node holds in memory for attempts.
	MaxBytesInFlight int64
	// CriticalReserve is the share of MaxInFlight and MaxBytesInFlight, in percent, that only CRITICAL messages use.
	CriticalReserve int
	// RetryHorizon is how long a message without ttlSeconds is retried after transient results.
	RetryHorizon time.Duration
	// RetrySchedule holds the pauses between rounds; the last one repeats. Never empty.
	RetrySchedule []time.Duration
	// ReceiptTimeout is after how long without a provider's report a sent message counts as unconfirmed.
	ReceiptTimeout time.Duration
	// RetainContent is how long content is kept after the final state.
	RetainContent time.Duration
	// RetainMessages is how long message rows and idempotency keys are kept.
	RetainMessages time.Duration

	// AlertWebhookURL and AlertWebhookSecret say where alerts are posted; the first is not set for nowhere.
	AlertWebhookURL, AlertWebhookSecret seal.Secret
	// AlertEmail is who gets alerts by mail; empty for nobody.
	AlertEmail string
	// AlertPatience is how long at most something must be wrong until it is told, and well until it is over.
	AlertPatience time.Duration
	// AlertWaiting is how long a message may be due without being started.
	AlertWaiting time.Duration
	// AlertFreeSpace is the room on SQLite's disk, in bytes, below which there is an alert.
	AlertFreeSpace int64

	settings []Setting
}

// Database says where messages are kept.
type Database struct {
	// Kind is the sort of store.
	Kind DatabaseKind
	// Path is the SQLite file; empty for PostgreSQL.
	Path string
	// URL is the PostgreSQL connection string; not set for SQLite.
	URL seal.Secret
	// DirectURL reaches the same PostgreSQL past a transaction pooler, for LISTEN; may be not set.
	DirectURL seal.Secret
}

// DatabaseKind is the sort of store.
type DatabaseKind uint8

// The stores there are.
const (
	SQLite DatabaseKind = iota
	PostgreSQL
)

// String is the name of the store as people write it.
func (k DatabaseKind) String() string {
	if k == PostgreSQL {
		return "PostgreSQL"
	}
	return "SQLite"
}

// Role says which parts of the server a process runs.
type Role uint8

// The roles there are.
const (
	RoleAll Role = iota
	RoleAPI
	RoleWorker
)

// String is the role as it is set.
func (r Role) String() string { return roleNames()[r] }

// ServesAPI reports whether this process answers API requests.
func (r Role) ServesAPI() bool { return r != RoleWorker }

// Works reports whether this process owns shards and calls providers.
func (r Role) Works() bool { return r != RoleAPI }

func roleNames() []string { return []string{"all", "api", "worker"} }

// Fallback is what happens to a message of a live app that has no provider at all.
type Fallback uint8

// The fallbacks there are.
const (
	FallbackSandbox Fallback = iota
	FallbackFail
)

// String is the fallback as it is set.
func (f Fallback) String() string { return fallbackNames()[f] }

func fallbackNames() []string { return []string{"sandbox", "fail"} }

// LogFormat is the form of a log line.
type LogFormat uint8

// The forms there are. LogAuto means text on a terminal, JSON elsewhere.
const (
	LogAuto LogFormat = iota
	LogText
	LogJSON
)

// String is the format as it is set.
func (f LogFormat) String() string { return logFormatNames()[f] }

func logFormatNames() []string { return []string{"auto", "text", "json"} }

// BaseURL is the base of callback URLs and links: PublicURL when it was set, else
// one made from the address that is really listened on, so that it is right for
// port 0 too. A wildcard host becomes localhost.
func (c Config) BaseURL(listening string) string {
	if c.PublicURL != "" {
		return c.PublicURL
	}
	scheme := "http"
	if c.TLSCert != "" {
		scheme = "https"
	}
	host, port, err := net.SplitHostPort(listening)
	if err != nil {
		return scheme + "://" + listening
	}
	if configured, _, err := net.SplitHostPort(c.Addr); err == nil && configured != "" {
		host = configured
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "localhost"
	}
	if (scheme == "http" && port == "80") || (scheme == "https" && port == "443") {
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		return scheme + "://" + host
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}
