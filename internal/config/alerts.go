package config

import (
	"errors"

	mail "github.com/commserver/commserver/internal/address"
	"github.com/commserver/commserver/internal/guard"
	"github.com/commserver/commserver/internal/seal"
)

func alerting() []Option {
	const group = "Alerts"
	return []Option{
		{Name: "ALERT_WEBHOOK_URL", Group: group, Type: "URL", Secret: true, DefaultNote: "no webhook",
			Help: "Address that alerts and all-clears are posted to as JSON; see [alerts.md](alerts.md). A secret, because such addresses often hold one.",
			set:  secret(func(c *Config) *seal.Secret { return &c.AlertWebhookURL })},
		{Name: "ALERT_WEBHOOK_SECRET", Group: group, Type: "text", Secret: true, DefaultNote: "unsigned",
			Help: "Signs what is posted to `COMMS_ALERT_WEBHOOK_URL`, as apps' webhooks are signed. At least 16 characters.",
			set:  key(func(c *Config) *seal.Secret { return &c.AlertWebhookSecret })},
		{Name: "ALERT_EMAIL", Group: group, Type: "address", DefaultNote: "no mail",
			Help: "Address that alerts and all-clears are mailed to, through the server's own provider configurations.",
			set:  mailbox(func(c *Config) *string { return &c.AlertEmail })},
		{Name: "ALERT_WAITING", Group: group, Type: "duration", Default: "15m",
			Help: "How long a message may be due without being started before it is an alert.",
			set:  duration(func(c *Config) *dur { return &c.AlertWaiting }, 10*second, 30*day)},
		{Name: "ALERT_PATIENCE", Group: group, Type: "duration", Default: "5m",
			Help: "How long at most something must be wrong before it is told, and well before it is called over. With the default it is as long as [alerts.md](alerts.md) says of each kind.",
			set:  duration(func(c *Config) *dur { return &c.AlertPatience }, second, day)},
		{Name: "ALERT_FREE_SPACE", Group: group, Type: "bytes", Default: "1GiB",
			Help: "Room on the disk of the SQLite file below which there is an alert; 0 switches it off.",
			set:  bytes(func(c *Config) *int64 { return &c.AlertFreeSpace }, 0, 1<<50)},
	}
}

// secret never quotes the value.
func secret(field func(*Config) *seal.Secret) setter {
	return func(c *Config, v string) error {
		*field(c) = seal.Secret(v)
		return nil
	}
}

func mailbox(field func(*Config) *string) setter {
	return func(c *Config, v string) error {
		if _, err := mail.ParseEmail(v); err != nil {
			return errors.New("the value is not one mail address; write one such as oncall@example.com")
		}
		*field(c) = v
		return nil
	}
}

// alertRules checks the alerts' webhook by what outgoing connections may reach.
func alertRules(c Config) (all Problems) {
	switch {
	case c.AlertWebhookURL != "":
		d := guard.Dialer{Allow: c.AllowPrivateTargets, Ports: guard.WebPorts()}
		if _, err := d.CheckURL(c.AlertWebhookURL.Reveal()); err != nil {
			all = append(all, Problem{"COMMS_ALERT_WEBHOOK_URL", err.Error() + "; write one such as https://alerts.example.com/in (plain http and private networks need COMMS_ALLOW_PRIVATE_TARGETS)"})
		}
	case c.AlertWebhookSecret != "":
		all = append(all, Problem{"COMMS_ALERT_WEBHOOK_SECRET", "it signs nothing without COMMS_ALERT_WEBHOOK_URL; set both"})
	}
	return all
}
