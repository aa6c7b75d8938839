package metrics

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const deployed = "../../deploy/"

// rule is a rule of deploy/prometheus/alerts.yml.
type rule struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

func rules(t *testing.T) (out []rule) {
	t.Helper()
	raw, err := os.ReadFile(deployed + "prometheus/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Name  string `yaml:"name"`
			Rules []rule `yaml:"rules"`
		} `yaml:"groups"`
	}
	d := yaml.NewDecoder(bytes.NewReader(raw))
	d.KnownFields(true)
	if err := d.Decode(&file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		out = append(out, g.Rules...)
	}
	return out
}

// panel is one of deploy/grafana/commserver.json.
type panel struct {
	ID      int    `json:"id"`
	Type    string `json:"type"`
	Title   string `json:"title"`
	GridPos struct{ X, Y, W, H int }
	Targets []struct {
		Expr string `json:"expr"`
	} `json:"targets"`
}

func panels(t *testing.T) []panel {
	t.Helper()
	raw, err := os.ReadFile(deployed + "grafana/commserver.json")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Panels     []panel
		Templating struct {
			List []struct {
				Name  string
				All   bool `json:"includeAll"`
				Multi bool
			}
		}
	}
	if err := json.Unmarshal(raw, &d); err != nil {
		t.Fatal(err)
	}
	for _, v := range d.Templating.List {
		if v.Name == "job" && (v.All || v.Multi) {
			t.Error("the dashboard adds jobs together")
		}
	}
	return d.Panels
}

// Rules name metrics and labels that there are, say how bad it is and in a sentence what is wrong, and lead to a section of the runbook.
func TestRules(t *testing.T) {
	t.Parallel()
	book, err := os.ReadFile("../../docs/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, r := range rules(t) {
		if r.Alert == "" || seen[r.Alert] {
			t.Errorf("%q stands there twice, or has no name", r.Alert)
		}
		seen[r.Alert] = true
		for _, wrong := range misnamed(t, r.Expr) {
			t.Errorf("%s: %s", r.Alert, wrong)
		}
		if s := r.Labels["severity"]; s != "page" && s != "ticket" {
			t.Errorf("%s: severity %q", r.Alert, s)
		}
		if !strings.HasSuffix(r.Annotations["summary"], ".") {
			t.Errorf("%s: summary %q", r.Alert, r.Annotations["summary"])
		}
		if r.Annotations["runbook_url"] != runbookAt+"#"+strings.ToLower(r.Alert) {
			t.Errorf("%s: runbook_url %q", r.Alert, r.Annotations["runbook_url"])
		}
		for _, wrong := range mixed(r.Expr) {
			t.Errorf("%s: %s", r.Alert, wrong)
		}
		if !bytes.Contains(book, []byte("\n## "+r.Alert+"\n")) || !bytes.Contains(book, []byte("\n"+strings.TrimSpace(r.Expr)+"\n")) {
			t.Errorf("docs/runbook.md has no section %s, or another expression in it", r.Alert)
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^## (\S+)$`).FindAllSubmatch(book, -1) {
		if !seen[string(m[1])] {
			t.Errorf("docs/runbook.md has a section %s, and there is no such rule", m[1])
		}
	}
	if len(seen) < 20 {
		t.Errorf("%d rules", len(seen))
	}
	if !strings.Contains(intro, "|"+runbookAt+"|") {
		t.Error("docs/metrics.md does not say how runbook_url is changed")
	}
}

// runbookAt is what every runbook_url begins with, so that an operator changes it at once.
const runbookAt = "https://github.com/commserver/commserver/blob/main/docs/runbook.md"

var aggregation = regexp.MustCompile(`\b(?:sum|min|max|avg|count|group|topk|quantile|absent)\b\s*(?:by|without)?\s*(\([^)]*\))`)

// mixed lists the aggregations of an expression that add the deployments of one Prometheus together. absent can only be asked of all.
func mixed(expr string) (wrong []string) {
	for _, m := range aggregation.FindAllStringSubmatch(expr, -1) {
		if !strings.HasPrefix(m[1], "(job") && m[0] != `absent(commserver_build_info)` {
			wrong = append(wrong, m[0]+" is not for each job")
		}
	}
	return wrong
}

// What mixed finds, it finds.
func TestMixed(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string]bool{
		`sum(commserver_shards_owned) < 64`:                                false,
		`max by (channel) (commserver_queue_messages)`:                     false,
		`histogram_quantile(0.9, sum by (le) (rate(x[5m])))`:               false,
		`absent(commserver_queue_messages)`:                                false,
		`max without (instance) (commserver_queue_messages)`:               false,
		`sum by (job) (commserver_shards_owned) < 64`:                      true,
		`max by (job, channel) (x) > 1 and commserver_worker_healthy == 0`: true,
		`group by (job) (x) or on () absent(commserver_build_info)`:        true,
	} {
		if got := mixed(expr); (len(got) == 0) != want {
			t.Errorf("%s: %q", expr, got)
		}
	}
}

// The dashboard names metrics and labels that there are, and no panel lies on another one.
func TestDashboard(t *testing.T) {
	t.Parallel()
	var expressions []string
	all := panels(t)
	for i, p := range all {
		for _, other := range all[:i] {
			a, b := p.GridPos, other.GridPos
			if p.ID == other.ID || a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
				t.Errorf("%q lies on %q, or has its id", p.Title, other.Title)
			}
		}
		if p.GridPos.X+p.GridPos.W > 24 || p.Title == "" || (p.Type == "row") != (len(p.Targets) == 0) {
			t.Errorf("%+v", p)
		}
		for _, x := range p.Targets {
			expressions = append(expressions, x.Expr)
			if strings.Count(x.Expr, `{job="$job"`) != strings.Count(x.Expr, "{") {
				t.Errorf("%s: %s is not of the job that was chosen", p.Title, x.Expr)
			}
			for _, wrong := range misnamed(t, x.Expr) {
				t.Errorf("%s: %s", p.Title, wrong)
			}
		}
	}
	named := strings.Join(expressions, "\n")
	for _, f := range Families() { // what is measured can be seen, but for what only explains something else
		hidden := []string{"commserver_queue_counted", "commserver_units", "commserver_large_messages_bytes", "commserver_shards_closed", "commserver_shards_taken_total", "commserver_workers",
			"commserver_attempts_orphaned_total", "commserver_webhook_queue_bytes", "commserver_postgres_connections_max", "commserver_postgres_waits_total", "commserver_postgres_connections_opened_total",
			"commserver_upkeep_finished_timestamp_seconds", "commserver_upkeep_failed", "commserver_audit_entries_total"}
		if !strings.Contains(named, f.Name) && !slices.Contains(hidden, f.Name) {
			t.Errorf("the dashboard does not show %s", f.Name)
		}
	}
}

// What misnamed finds, it finds.
func TestMisnamed(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string]string{
		`sum(commserver_nothing_total)`:                    "no metric commserver_nothing_total",
		`commserver_attempts_total{colour="red"}`:          "no label colour",
		`commserver_attempts_total{class="red"}`:           `class is never "red"`,
		`commserver_attempts_total{class=~"accepted|red"}`: `class is never "red"`,
		`sum by (colour) (commserver_attempts_total)`:      "no label colour",
		`commserver_attempt_duration_seconds > 1`:          "histogram",
		`commserver_attempts_total_bucket`:                 "no metric commserver_attempts_total_bucket",
		`process_nothing`:                                  "no metric process_nothing",
		`sum by (provider) (rate(commserver_attempts_total{class!="accepted",job=~"$job"}[5m]))>0`: "",
	} {
		if got := strings.Join(misnamed(t, expr), "; "); (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", expr, got, want)
		}
	}
}

var (
	// quoted, blocks of matchers, groupings, names; durations in brackets go first.
	window   = regexp.MustCompile(`\[[^\]]*\]`)
	selector = regexp.MustCompile(`([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(\{[^}]*\})?`)
	matcher  = regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*"([^"]*)"`)
	grouping = regexp.MustCompile(`\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)`)
)

// misnamed lists what an expression names that is not served: metrics, labels, and values of labels of which all are known.
func misnamed(t *testing.T, expr string) (wrong []string) {
	t.Helper()
	served, values := served(t)
	labels := map[string]bool{"job": true, "instance": true, "le": true}
	plain := grouping.ReplaceAllString(window.ReplaceAllString(expr, ""), " ")
	for _, m := range selector.FindAllStringSubmatch(plain, -1) {
		name := m[1]
		if name != "up" && !strings.HasPrefix(name, "commserver") && !strings.HasPrefix(name, "process_") && !strings.HasPrefix(name, "go_") {
			continue // a function or an operator
		}
		of, ok := served[name]
		if !ok {
			reason := "no metric " + name
			if _, ok := served[name+"_bucket"]; ok {
				reason = name + " is a histogram"
			}
			wrong = append(wrong, reason)
		}
		for _, l := range of {
			labels[l] = true
		}
		for _, x := range matcher.FindAllStringSubmatch(m[2], -1) {
			label, op, value := x[1], x[2], x[3]
			if label == "job" || label == "instance" {
				continue
			}
			if ok && !slices.Contains(of, label) {
				wrong = append(wrong, fmt.Sprintf("%s has no label %s", name, label))
			}
			all := []string{value}
			if strings.HasSuffix(op, "~") {
				all = strings.Split(value, "|")
			}
			for _, v := range all {
				if known := values[label]; len(known) > 0 && !known[v] {
					wrong = append(wrong, fmt.Sprintf("%s is never %q", label, v))
				}
			}
		}
	}
	for _, m := range grouping.FindAllStringSubmatch(expr, -1) {
		for l := range strings.SplitSeq(m[1], ",") {
			if l = strings.TrimSpace(l); l != "" && !labels[l] {
				wrong = append(wrong, "no label "+l)
			}
		}
	}
	return wrong
}

// served is the names that a full page has, with their labels, and the values of labels that it shows all of.
func served(t *testing.T) (names map[string][]string, values map[string]map[string]bool) {
	t.Helper()
	names, values = map[string][]string{"up": nil}, map[string]map[string]bool{}
	m := full(new(server))
	m.Request("stream", 200, 0)
	m.Request("wait", 200, 0)
	for name, f := range gather(t, m) {
		var labels []string
		for _, x := range f.GetMetric() {
			for _, l := range x.GetLabel() {
				if labels = append(labels, l.GetName()); l.GetName() != "provider" && l.GetName() != "task" && l.GetName() != "version" {
					if values[l.GetName()] == nil {
						values[l.GetName()] = map[string]bool{}
					}
					values[l.GetName()][l.GetValue()] = true
				}
			}
		}
		if f.GetType().String() == "HISTOGRAM" || f.GetType().String() == "SUMMARY" {
			names[name+"_sum"], names[name+"_count"] = labels, labels
			if f.GetType().String() == "HISTOGRAM" {
				names[name+"_bucket"] = append(labels, "le")
			}
			continue
		}
		names[name] = labels
	}
	return names, values
}

// Prometheus itself reads the rules, finds that they do what they should, and reads the dashboard's expressions.
func TestPromtool(t *testing.T) {
	t.Parallel()
	tool, err := exec.LookPath("promtool")
	if err != nil {
		if tool, err = filepath.Abs("../../.tools/promtool"); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(tool); err != nil {
			t.Skip("promtool is not there; run: make setup")
		}
	}
	run := func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), tool, args...)
		cmd.Dir = deployed + "prometheus"
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	run("check", "rules", "alerts.yml")
	run("test", "rules", "alerts_test.yml")
	type record struct {
		Record string `yaml:"record"`
		Expr   string `yaml:"expr"`
	}
	var records []record
	for _, p := range panels(t) {
		for i, x := range p.Targets {
			records = append(records, record{fmt.Sprintf("panel:%d:%d", p.ID, i), strings.NewReplacer("$__rate_interval", "5m").Replace(x.Expr)})
		}
	}
	raw, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": records}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "dashboard.yml")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	run("check", "rules", file)
}
