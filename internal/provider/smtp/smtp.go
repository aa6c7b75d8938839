// Package smtp is the adapter for mail relays: submission over SMTP (RFC 5321,
// 6409) with STARTTLS (RFC 3207) or TLS from the first byte (RFC 8314).
//
// It promises to say of every failure in which phase it happened, because that
// decides whether anything was sent: until the final dot has been handed to the
// network nothing was, after it only the server's answer can tell. One Send
// transmits one message's content at most once. Sessions are reused; a reused
// one that turns out to be dead before the server took the sender is replaced
// by a new one, unseen. Credentials never cross an unencrypted link, loopback
// apart, and certificates are always verified. Errors and logs hold neither
// credentials nor addresses.
//
// It has a client of its own because neither the mail library (go-mail 0.8.1)
// nor the SMTP library (go-smtp 0.25.1) at hand can send MAIL, RCPT and DATA in
// one write (PIPELINING, RFC 2920), which is worth a factor of three, and more
// over long distances. Mails are 7-bit and addresses ASCII by construction
// (packages mime and address), so 8BITMIME and SMTPUTF8 are never needed.
//
// It does not queue, retry, sign mails or read bounces.
package smtp

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/commserver/commserver/internal/address"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
)

// The ports that get a default or a rule.
const (
	portRelay      = 25
	portImplicit   = 465
	portSubmission = 587
)

// Adapter is the SMTP adapter.
func Adapter() provider.Adapter {
	return provider.Adapter{
		Type:    "SMTP",
		Title:   "SMTP relay",
		Channel: comm.Email,
		Fields:  fields(),
		Check:   check,
		// Ten minutes for the answer to the final dot, and as long for everything before it.
		CallTimeout: 20 * time.Minute,
		Open: func(s provider.Settings, env provider.Env) (provider.Sender, error) {
			return open(s, env)
		},
	}
}

func fields() []provider.Field {
	return []provider.Field{
		{Name: "host", Label: "Host", Kind: provider.Host, Required: true,
			Help: "Name of the mail server, such as mail.example.com. Its certificate must carry this name."},
		{Name: "port", Label: "Port", Kind: provider.Int, Min: 1, Max: 65535,
			Help: "587 (the default) starts in clear and switches to TLS; 465 is TLS from the first byte; 25 and 2525 are for relays."},
		{Name: "secure", Label: "TLS from the first byte", Kind: provider.Bool,
			Help: "true for port 465. Otherwise STARTTLS is used when the server offers it, and required when there is a password."},
		{Name: "username", Label: "User name", Kind: provider.Text, Max: 255,
			Help: "Leave empty for a relay that needs no login."},
		{Name: "password", Label: "Password", Kind: provider.Text, Secret: true, Max: 512,
			Help: "Password or API key that the mail server expects. Stored encrypted, never shown again."},
		{Name: "from", Label: "Sender", Kind: provider.Mailbox,
			Help: "Sender of messages that name none, such as MyApp <no-reply@example.com>."},
		{Name: "returnPath", Label: "Return path", Kind: provider.Mailbox,
			Help: "Address that bounces go to, if other than the sender's. The server must allow it."},
	}
}

// config is the settings, read.
type config struct {
	host       string
	port       int
	secure     bool
	username   string
	password   string
	from       address.Mailbox // zero: the message must name a sender
	returnPath string          // "" : the sender's address
}

// check answers what is wrong with settings whose fields are right one by one.
func check(s provider.Settings) map[string]string {
	_, faults := read(s)
	return faults
}

// read parses settings; faults are by field name.
func read(s provider.Settings) (config, map[string]string) {
	faults := map[string]string{}
	c := config{host: strings.TrimSuffix(s["host"], "."), username: s["username"], password: s["password"]}
	if c.host == "" {
		faults["host"] = "give the name of the mail server"
	}
	readTransport(&c, s, faults)
	switch {
	case c.username != "" && c.password == "":
		faults["password"] = "a user name needs a password"
	case c.username == "" && c.password != "":
		faults["username"] = "a password needs a user name"
	case strings.ContainsAny(c.username, "\r\n\x00"):
		faults["username"] = "remove line breaks and NUL"
	case strings.ContainsAny(c.password, "\r\n\x00"):
		faults["password"] = "remove line breaks and NUL"
	}
	if from := s["from"]; from != "" {
		box, err := address.ParseMailbox(from)
		if err != nil {
			faults["from"] = err.Error()
		}
		c.from = box
	}
	if back := s["returnPath"]; back != "" {
		box, err := address.ParseMailbox(back)
		switch {
		case err != nil:
			faults["returnPath"] = err.Error()
		case box.Name != "":
			faults["returnPath"] = "give the bare address, without a name"
		}
		c.returnPath = box.Email.Address
	}
	return c, faults
}

// readTransport reads port and secure, which depend on each other.
func readTransport(c *config, s provider.Settings, faults map[string]string) {
	if p := s["port"]; p != "" {
		port, err := strconv.Atoi(p)
		if err != nil || port < 1 || port > 65535 {
			faults["port"] = "a port is a number from 1 to 65535"
		}
		c.port = port
	}
	switch s["secure"] {
	case "":
		c.secure = c.port == portImplicit
	case "true":
		c.secure = true
	case "false":
	default:
		faults["secure"] = "secure is true or false"
	}
	switch {
	case c.port == 0 && c.secure:
		c.port = portImplicit
	case c.port == 0:
		c.port = portSubmission
	case c.port == portImplicit && !c.secure:
		faults["secure"] = "port 465 speaks TLS from the first byte: set secure to true"
	case c.secure && (c.port == portSubmission || c.port == portRelay):
		faults["secure"] = fmt.Sprintf("port %d starts in clear and switches to TLS: set secure to false", c.port)
	}
}

func (c *config) target() string { return net.JoinHostPort(c.host, strconv.Itoa(c.port)) }
