package metrics

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
)

// maker makes what is told to the Set, by the table.
type maker struct {
	registry *prometheus.Registry
	families map[string]Family
	told     map[string]bool // those that were made
}

// of is the family of a name of ours; asking for another one, or another kind, is a mistake of this package that every test meets.
func (m maker) of(name string, kind Kind) Family {
	f := m.families[name]
	if f.Kind != kind {
		panic("metrics: there is no " + kind.String() + " " + name)
	}
	m.told[name] = true
	return f
}

func (m maker) counters(name string) *prometheus.CounterVec {
	f := m.of(name, Counter)
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: f.Name, Help: f.Help}, f.Labels)
	m.registry.MustRegister(v)
	return v
}

func (m maker) gauges(name string) *prometheus.GaugeVec {
	f := m.of(name, Gauge)
	v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: f.Name, Help: f.Help}, f.Labels)
	m.registry.MustRegister(v)
	return v
}

func (m maker) gauge(name string) prometheus.Gauge { return m.gauges(name).WithLabelValues() }

func (m maker) histograms(name string) *prometheus.HistogramVec {
	f := m.of(name, Histogram)
	v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: f.Name, Help: f.Help, Buckets: f.Buckets}, f.Labels)
	m.registry.MustRegister(v)
	return v
}

// levels are the labels of log lines.
func levels() []string { return []string{"debug", "info", "warn", "error"} }

func levelName(l slog.Level) string {
	switch {
	case l >= slog.LevelError:
		return "error"
	case l >= slog.LevelWarn:
		return "warn"
	case l >= slog.LevelInfo:
		return "info"
	}
	return "debug"
}
