package bench

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// side is who was measured.
type side int

const (
	product   side = iota
	yardstick      // the built-in baseline, or the bare loop
	beside         // the server of --beside
	idleSide       // the product without any message
)

// Report is everything that a run measured.
type Report struct {
	Started  time.Time `json:"started"`
	Took     string    `json:"took"`
	Machine  Machine   `json:"machine"`
	Quick    bool      `json:"quick"`
	Rows     []*Row    `json:"rows"`
	Failures []string  `json:"failures,omitempty"`

	index map[[3]string]*Row
}

// Machine is where it ran, in general words.
type Machine struct {
	OS         string  `json:"os"`
	Processors int     `json:"processors"`
	Load       float64 `json:"loadAtStart"` // runnable processes over a minute, where the system tells; ours not yet among them
}

// Row is one metric of one workload on one store.
type Row struct {
	Store    string  `json:"store"`
	Workload string  `json:"workload"`
	Metric   string  `json:"metric"`
	Unit     string  `json:"unit"`
	Product  *Series `json:"product,omitempty"`
	Baseline *Series `json:"baseline,omitempty"`
	Beside   *Series `json:"beside,omitempty"`
	Idle     *Series `json:"idle,omitempty"` // the product without any message
	// Ratio is product to baseline, of medians; 0 when there are not both.
	Ratio float64 `json:"ratio,omitempty"`
	// Floor is what a release has to reach, in words; "" when nothing was set.
	Floor string `json:"floor,omitempty"`
	Met   *bool  `json:"met,omitempty"`
}

// Series is the runs of one side.
type Series struct {
	Median float64   `json:"median"`
	Min    float64   `json:"min"`
	Max    float64   `json:"max"`
	Runs   []float64 `json:"runs"`
}

func newReport(cfg *Config) *Report {
	r := &Report{Started: time.Now().UTC().Truncate(time.Second), Quick: cfg.Quick, index: map[[3]string]*Row{},
		Machine: Machine{OS: runtime.GOOS + "/" + runtime.GOARCH, Processors: runtime.NumCPU()}}
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		word, _, _ := strings.Cut(string(b), " ")
		r.Machine.Load, _ = strconv.ParseFloat(word, 64)
	}
	return r
}

func (s *subject) add(workload, metric, unit string, who side, value float64) {
	r := s.report
	key := [3]string{s.store, workload, metric}
	row := r.index[key]
	if row == nil {
		row = &Row{Store: s.store, Workload: workload, Metric: metric, Unit: unit}
		r.index[key] = row
		r.Rows = append(r.Rows, row)
	}
	place := map[side]**Series{product: &row.Product, yardstick: &row.Baseline, beside: &row.Beside, idleSide: &row.Idle}[who]
	if *place == nil {
		*place = &Series{}
	}
	(*place).Runs = append((*place).Runs, value)
}

// finish computes medians, ratios and floors.
func (r *Report) finish() {
	r.Took = time.Since(r.Started).Round(time.Second).String()
	for _, row := range r.Rows {
		for _, s := range []*Series{row.Product, row.Baseline, row.Beside, row.Idle} {
			s.finish()
		}
		if row.Product != nil && row.Baseline != nil && row.Baseline.Median > 0 {
			row.Ratio = row.Product.Median / row.Baseline.Median
		}
		judge(row)
	}
	r.order()
}

// order keeps workloads in the order they began, and in each of them what the
// processors did after what was measured.
func (r *Report) order() {
	place := map[[2]string]int{}
	for i, row := range r.Rows {
		key := [2]string{row.Store, row.Workload}
		if _, there := place[key]; !there {
			place[key] = i
		}
	}
	aside := func(row *Row) int {
		if strings.HasPrefix(row.Metric, "CPU") || row.Metric == "server memory" {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(r.Rows, func(a, b *Row) int {
		if d := place[[2]string{a.Store, a.Workload}] - place[[2]string{b.Store, b.Workload}]; d != 0 {
			return d
		}
		return aside(a) - aside(b)
	})
}

func (s *Series) finish() {
	if s == nil {
		return
	}
	sorted := slices.Sorted(slices.Values(s.Runs))
	n := len(sorted)
	s.Min, s.Max, s.Median = sorted[0], sorted[n-1], sorted[n/2]
	if n%2 == 0 {
		s.Median = (sorted[n/2-1] + sorted[n/2]) / 2
	}
}

// floor is what a release has to reach for some metric.
type floor struct {
	workload, metric string // prefixes
	least, most      float64
	ratio            bool // of the ratio, else of the figure
}

func floors() []floor {
	return []floor{
		{"accept, 64 ", "rate", 0.70, 0, true},
		{"accept, 64 ", "p99", 0, 1.8, true},
		{"accept, 1 ", "p50", 0, 1.5, true},
		{"drain", "rate", 0.50, 0, true},
		{"whole life", "rate", 0.55, 0, true},
		{"SMTP", "rate", 0.40, 0, true},
		{"one message", "accept to provider call, p50", 0, 5, false},
		{"start", "memory", 0, 40, false},
		{"start", "ready", 0, 300, false},
		{"1000000 ", "memory", 0, 150, false},
		{"1000000 ", "ready", 0, 300, false},
	}
}

// spareWrites is how many writes two counts of the same heartbeats may differ by.
const spareWrites = 3

func judge(row *Row) {
	verdict := func(words string, met bool) { row.Floor, row.Met = words, &met }
	if row.Product == nil {
		return
	}
	if strings.HasPrefix(row.Metric, "written") && row.Idle != nil {
		verdict("as an idle server", row.Product.Median <= row.Idle.Median+spareWrites)
	}
	if strings.HasPrefix(row.Metric, "list") && strings.HasSuffix(row.Metric, "p95") {
		verdict("≤ 50 ms", row.Product.Median <= 50)
	}
	for _, f := range floors() {
		if !strings.HasPrefix(row.Workload, f.workload) || !strings.HasPrefix(row.Metric, f.metric) {
			continue
		}
		value, unit := row.Product.Median, " "+row.Unit
		if f.ratio {
			if value, unit = row.Ratio, " times"; row.Ratio == 0 {
				continue
			}
		}
		if f.least > 0 {
			verdict(fmt.Sprintf("≥ %g%s", f.least, unit), value >= f.least)
		} else {
			verdict(fmt.Sprintf("≤ %g%s", f.most, unit), value <= f.most)
		}
	}
}

// Missed counts the floors that were not reached.
func (r *Report) Missed() (missed, all int) {
	for _, row := range r.Rows {
		if row.Met != nil {
			all++
			if !*row.Met {
				missed++
			}
		}
	}
	return missed, all
}

// WriteTable prints the report for people.
func (r *Report) WriteTable(w io.Writer) error {
	fmt.Fprintf(w, "CommServer benchmark, %s, %s, %d processors, took %s\n", r.Started.Format("2006-01-02 15:04 MST"), r.Machine.OS, r.Machine.Processors, r.Took)
	if r.Machine.Load > 0.3 {
		fmt.Fprintf(w, "The machine was not idle at the start (load %.2f): figures are lower than they could be, and ratios less certain.\n", r.Machine.Load)
	}
	last, store := "", ""
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range r.Rows {
		if row.Store != store {
			store, last = row.Store, ""
			fmt.Fprintf(t, "\n%s\tmetric\tCommServer\tbaseline\tratio\tfloor\t\n", strings.ToUpper(store))
		}
		name := row.Workload
		if name == last {
			name = ""
		}
		last = row.Workload
		ratio := ""
		if row.Ratio > 0 {
			ratio = strconv.FormatFloat(row.Ratio, 'f', 2, 64)
		}
		other := row.Baseline.text()
		if row.Idle != nil {
			other = row.Idle.text() + " idle"
		}
		if row.Beside != nil {
			other += "; beside " + row.Beside.text()
		}
		fmt.Fprintf(t, "%s\t%s (%s)\t%s\t%s\t%s\t%s\t\n", name, row.Metric, row.Unit, row.Product.text(), other, ratio, row.floorText())
	}
	if err := t.Flush(); err != nil {
		return err
	}
	missed, all := r.Missed()
	_, err := fmt.Fprintf(w, "\n%d of %d floors reached. Figures are medians (least-greatest); they hold for this machine, ratios travel better.\n", all-missed, all)
	for _, f := range r.Failures {
		fmt.Fprintf(w, "FAILED %s\n", f)
	}
	return err
}

func (r *Row) floorText() string {
	switch {
	case r.Met == nil:
		return ""
	case *r.Met:
		return r.Floor + ", reached"
	}
	return r.Floor + ", MISSED"
}

// text is the median and, with more than one run, the range.
func (s *Series) text() string {
	if s == nil {
		return ""
	}
	if len(s.Runs) == 1 {
		return number(s.Median)
	}
	return number(s.Median) + " (" + number(s.Min) + "-" + number(s.Max) + ")"
}

// number writes a figure with about three digits that mean something.
func number(v float64) string {
	switch {
	case v >= 100 || v == float64(int64(v)):
		text := strconv.FormatFloat(v, 'f', 0, 64)
		for i := len(text) - 3; i > 0; i -= 3 {
			text = text[:i] + " " + text[i:]
		}
		return text
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}
