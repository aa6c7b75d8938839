package config

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/commserver/commserver/internal/seal"
)

// Short names keep the option table readable.
type (
	setter = func(*Config, string) error
	prefix = netip.Prefix
	dur    = time.Duration
)

const (
	millisecond = time.Millisecond
	second      = time.Second
	minute      = time.Minute
	day         = 24 * time.Hour
)

// minKeyLength is the shortest secret that is accepted; goodKeyLength the shortest
// one that draws no warning.
const (
	minKeyLength  = 16
	goodKeyLength = 32
)

func text(field func(*Config) *string) setter {
	return func(c *Config, v string) error {
		*field(c) = v
		return nil
	}
}

func address(field func(*Config) *string) setter {
	return func(c *Config, v string) error {
		_, port, err := net.SplitHostPort(v)
		if err != nil {
			return fmt.Errorf("%q is not an address; write host:port, such as localhost:3008 or :3008", v)
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
			return fmt.Errorf("%q has no valid port; write a number from 0 to 65535 after the colon", v)
		}
		*field(c) = v
		return nil
	}
}

func number(field func(*Config) *int, low, high int) setter {
	return func(c *Config, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < low || n > high {
			return fmt.Errorf("%q is not accepted; write a whole number from %d to %d", v, low, high)
		}
		*field(c) = n
		return nil
	}
}

func yes(field func(*Config) *bool) setter {
	return func(c *Config, v string) error {
		if v != "yes" && v != "no" {
			return fmt.Errorf("%q is not accepted; write yes or no", v)
		}
		*field(c) = v == "yes"
		return nil
	}
}

func choice[T ~uint8](field func(*Config) *T, names []string) setter {
	return func(c *Config, v string) error {
		for i, name := range names {
			if v == name {
				*field(c) = T(i)
				return nil
			}
		}
		return fmt.Errorf("%q is not accepted; write one of: %s", v, strings.Join(names, ", "))
	}
}

func duration(field func(*Config) *dur, low, high dur) setter {
	return func(c *Config, v string) error {
		d, err := parseDuration(v)
		if err != nil {
			return err
		}
		if d < low || d > high {
			return fmt.Errorf("%q is out of range; write a duration from %s to %s", v, formatDuration(low), formatDuration(high))
		}
		*field(c) = d
		return nil
	}
}

// parseDuration reads Go's durations and whole days ("30d"), because retention is
// thought of in days and 720h is easily mistyped.
func parseDuration(v string) (dur, error) {
	if days, ok := strings.CutSuffix(v, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 32)
		if err == nil && n <= uint64(math.MaxInt64/day) {
			return dur(n) * day, nil
		}
	} else if d, err := time.ParseDuration(v); err == nil {
		return d, nil
	}
	return 0, fmt.Errorf("%q is not a duration; write a number with a unit, such as 500ms, 10s, 5m, 24h or 30d", v)
}

func formatDuration(d dur) string {
	if d >= day && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	s := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, zero) {
			s = s[:len(s)-2]
		}
	}
	return s
}

func networks(field func(*Config) *[]prefix) setter {
	return func(c *Config, v string) error {
		var all []prefix
		for item := range strings.SplitSeq(v, ",") {
			item = strings.TrimSpace(item)
			p, err := netip.ParsePrefix(item)
			if err != nil {
				ip, ipErr := netip.ParseAddr(item)
				if ipErr != nil || ip.Zone() != "" {
					return fmt.Errorf("%q is not a network; write CIDRs separated by commas, such as 10.0.0.0/8,fd00::/8", item)
				}
				p = netip.PrefixFrom(ip, ip.BitLen())
			}
			all = append(all, p.Masked())
		}
		*field(c) = all
		return nil
	}
}

func key(field func(*Config) *seal.Secret) setter {
	return func(c *Config, v string) error {
		if err := CheckKey(v); err != nil {
			return err
		}
		*field(c) = seal.Secret(v)
		return nil
	}
}

// CheckKey answers why a text cannot be a key that is sent in a header, and how
// to mend it; nil when it can. The text is never quoted.
func CheckKey(v string) error {
	if len(v) < minKeyLength {
		return fmt.Errorf("the value has %d characters; use at least %d, better %d random ones, for example from `openssl rand -hex 32`",
			len(v), minKeyLength, goodKeyLength)
	}
	if strings.ContainsFunc(v, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return errors.New("the value holds a space, a line break or a character outside ASCII, which cannot be sent in a header; use letters, digits and punctuation")
	}
	return nil
}

// keyRing refuses a ring that cannot be used before anything is opened. The value itself is never quoted.
func keyRing(c *Config, v string) error {
	ring := seal.Secret(v)
	if _, err := seal.ParseRing(ring); err != nil {
		return fmt.Errorf("%w; write id:base64(32 random bytes), several separated by commas, for example k1:$(openssl rand -base64 32)", err)
	}
	c.EncryptionKeys = ring
	return nil
}

func setPublicURL(c *Config, v string) error {
	u, err := url.Parse(v)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return errors.New("the value is not a web address; write one such as https://comms.example.com")
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		return errors.New("the value must be scheme and host alone; give CommServer a host of its own, such as https://comms.example.com")
	}
	c.PublicURL = u.Scheme + "://" + strings.ToLower(u.Host)
	return nil
}

// setDatabaseURL never quotes the value: it may hold a password.
func setDatabaseURL(c *Config, v string) error {
	scheme, rest, _ := strings.Cut(v, ":")
	switch scheme {
	case "postgres", "postgresql":
		if err := checkPostgresURL(v); err != nil {
			return err
		}
		c.Database = Database{Kind: PostgreSQL, URL: seal.Secret(v), DirectURL: c.Database.DirectURL}
		return nil
	case "sqlite":
		path := strings.TrimPrefix(rest, "//")
		relative := !strings.HasPrefix(rest, "//")
		if path == "" || strings.ContainsAny(path, "?#") || (!relative && !strings.HasPrefix(path, "/")) {
			return errors.New("the SQLite address names no file; write sqlite:///absolute/path or sqlite:relative/path, without parameters")
		}
		c.Database = Database{Kind: SQLite, Path: path, DirectURL: c.Database.DirectURL}
		return nil
	}
	return errors.New("the value is not a database; write postgres://user:password@host/database or sqlite:///path, or leave it empty for SQLite in the data folder")
}

func setDirectURL(c *Config, v string) error {
	if err := checkPostgresURL(v); err != nil {
		return err
	}
	c.Database.DirectURL = seal.Secret(v)
	return nil
}

func checkPostgresURL(v string) error {
	u, err := url.Parse(v)
	if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") || u.Opaque != "" {
		// The error of url.Parse quotes its input, so it is not passed on.
		return errors.New("the value is not a PostgreSQL address; write postgres://user:password@host/database, with special characters of the password percent-encoded")
	}
	if strings.Trim(u.Path, "/") == "" {
		return errors.New("the PostgreSQL address names no database; add it after the host, such as postgres://user:password@host/commserver")
	}
	return nil
}

// hasPassword reports whether a connection string carries a password.
func hasPassword(v string) bool {
	u, err := url.Parse(v)
	if err != nil {
		return true
	}
	_, inUser := u.User.Password()
	return inUser || u.Query().Has("password") || u.Query().Has("sslpassword")
}

// maskURL is the connection string with its passwords masked.
func maskURL(v string) string {
	u, err := url.Parse(v)
	if err != nil {
		return seal.Mask
	}
	if _, ok := u.User.Password(); ok {
		u.User = url.UserPassword(u.User.Username(), "MASKED")
	}
	q := u.Query()
	for _, name := range []string{"password", "sslpassword"} {
		if q.Has(name) {
			q.Set(name, "MASKED")
			u.RawQuery = q.Encode()
		}
	}
	return strings.ReplaceAll(u.String(), "MASKED", seal.Mask)
}

func setRegion(c *Config, v string) error {
	v = strings.ToUpper(v)
	if len(v) != 2 || v[0] < 'A' || v[0] > 'Z' || v[1] < 'A' || v[1] > 'Z' {
		return fmt.Errorf("%q is not a country; write its two-letter ISO 3166 code, such as GH", v)
	}
	c.DefaultRegion = v
	return nil
}

func setRetrySchedule(c *Config, v string) error {
	var all []dur
	for item := range strings.SplitSeq(v, ",") {
		d, err := parseDuration(strings.TrimSpace(item))
		if err != nil {
			return err
		}
		if d < millisecond || d > day {
			return fmt.Errorf("%q is out of range; write pauses from 1ms to 1d", strings.TrimSpace(item))
		}
		all = append(all, d)
	}
	if len(all) > 32 {
		return fmt.Errorf("there are %d pauses; write at most 32", len(all))
	}
	c.RetrySchedule = all
	return nil
}

func setLogLevel(c *Config, v string) error {
	levels := map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	}
	level, ok := levels[v]
	if !ok {
		return fmt.Errorf("%q is not accepted; write one of: debug, info, warn, error", v)
	}
	c.LogLevel = level
	return nil
}
