package metrics

import (
	"fmt"
	"io"
	"strings"
)

const intro = `# Metrics

Generated from ` + "`internal/metrics/table.go`" + `; a test fails when this page is stale.

` + "`GET /metrics`" + ` answers in Prometheus' text form. Best let Prometheus read it at ` + "`COMMS_INTERNAL_ADDR`" + `, on a private network, where it needs no key. At the public address it
answers whoever sends the admin key, as ` + "`X-Admin-Key`" + ` or as a bearer token. That key may do everything: send it over TLS alone.

` + "```yaml" + `
scrape_configs:
  - job_name: commserver # COMMS_INTERNAL_ADDR=10.0.0.5:3009
    static_configs:
      - targets: ["10.0.0.5:3009"]
  - job_name: commserver-public # or this one, where there is no private network
    scheme: https
    authorization:
      credentials_file: /etc/prometheus/commserver-admin-key
    static_configs:
      - targets: ["comms.example.com"]
` + "```" + `

On ` + "`COMMS_INTERNAL_ADDR`" + ` profiles (` + "`/debug/pprof/`" + `) and ` + "`/healthz`" + ` are there, too. A dashboard for Grafana
stands in ` + "`deploy/grafana/commserver.json`" + `, rules for alerts in ` + "`deploy/prometheus/alerts.yml`" + `.

**A deployment is a job**: all of its nodes are targets of one, and no node of another deployment is, since what is counted over nodes, such as the 64 shards, is counted
for each job. The rules take every job whose name begins with ` + "`commserver`" + ` (such as ` + "`commserver-prod`" + ` and ` + "`commserver-test`" + `), and their alerts have it as the label ` + "`job`" + `.
A job named alike that is another program's, such as an exporter's (` + "`commserver-postgres`" + `), is left out: it was read within a day and told no ` + "`commserver_build_info`" + `. If it is down for longer, nothing tells it from a server any more. The dashboard shows one at a time.

Each alert's ` + "`runbook_url`" + ` leads to the runbook of the newest version, in the repository. Every server has the one of its own version: let the alerts lead there, by your address, with

` + "```sh" + `
sed -i 's|https://github.com/commserver/commserver/blob/main/docs/runbook.md|https://comms.example.com/docs/runbook|' alerts.yml
` + "```" + `

No label holds an app, a configuration, a message, an address, or a text that a client or provider chose: the number of series depends on the types of
providers that are in use, and on nothing else that can be made at will. What happens often costs some atomic additions; the rest is read when somebody asks. What is
in the database (queue, retention, alerts) is read by one worker for all nodes, at most every 10 s; ` + "`max without (instance)`" + ` shows it, whichever node has it.
Histograms end with ` + "`_bucket`, `_sum` and `_count`" + `. Beside these families there are those of the process (` + "`process_…`" + `) and of Go's runtime (` + "`go_…`" + `).
`

// WriteDocs writes docs/metrics.md.
func WriteDocs(w io.Writer) error {
	var b strings.Builder
	b.WriteString(intro)
	group := ""
	for _, f := range Families() {
		if f.Group != group {
			group = f.Group
			fmt.Fprintf(&b, "\n## %s\n\n| name | type | labels | on | meaning |\n|---|---|---|---|---|\n", group)
		}
		labels := ""
		if len(f.Labels) > 0 {
			labels = "`" + strings.Join(f.Labels, "`, `") + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", f.Name, f.Kind, labels, f.By, f.Help)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
