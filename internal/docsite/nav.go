package docsite

import "strings"

// section is a part of the contents. Files are paths below docs/, in reading order; those that
// begin with "api" are made from the contract.
type section struct {
	title string
	files []string
}

// contents is every page in the order in which people read them. A page that is missing here
// fails a test.
func contents() []section {
	return []section{
		{"Begin", []string{"guide/quickstart.md", "first-minute.md", "guide/provisioning.md", "guide/authentication.md"}},
		{"Send", []string{"guide/messages.md", "guide/sdk.md", "sdk.md", "templates.md", "guide/suppressions.md", "sandbox.md", "guide/go-live.md"}},
		{"Follow", []string{"states.md", "webhooks.md", "guide/errors.md", "guide/checklist.md"}},
		{"Providers", []string{"providers.md", "providers/resend.md", "providers/smtp.md", "providers/twilio.md", "providers/ghana.md", "providers/arkesel.md", "providers/hubtel.md", "providers/nalo.md", "providers/mnotify.md"}},
		{"API reference", append([]string{"api.md"}, apiFiles()...)},
		{"Reference", []string{"errors.md", "config.md", "cli.md", "simulate.md"}},
		{"Operator's handbook", []string{"operate/install.md", "operate/sizing.md", "operate/nodes.md", "operate/failover.md", "operate/backup.md", "operate/upgrade.md", "console.md", "metrics.md", "logs.md", "admin.md", "keys.md", "retention.md", "security.md"}},
		{"Incidents", []string{"alerts.md", "incidents/provider_down.md", "incidents/messages_waiting.md", "incidents/endpoint_failing.md", "incidents/app_without_provider.md",
			"incidents/key_expiring.md", "incidents/storage_failing.md", "incidents/storage_low.md", "runbook.md"}},
		{"How it is built", []string{"reliability.md", "benchmarks.md", "architecture.md", "adding.md", "decisions/0001-dispatch.md", "decisions/0002-sqlite.md", "decisions/0003-postgresql-state.md", "decisions/0004-search.md",
			"decisions/0005-first-start-on-postgresql.md", "decisions/0006-all-apps.md", "decisions/0007-stats.md", "decisions/0008-retention.md", "decisions/0009-webhooks.md", "decisions/0010-receipts.md",
			"decisions/0011-providers.md", "decisions/0012-alerts.md", "decisions/0013-backup.md", "decisions/0014-security-keys.md"}},
	}
}

// home is the page at /docs itself.
const home = "README.md"

// address is where a file is served: guide/quickstart.md at /docs/guide/quickstart.
func address(file string) string {
	if file == home {
		return Prefix
	}
	return Prefix + "/" + strings.TrimSuffix(file, ".md")
}
