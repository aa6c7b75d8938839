package console

import (
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/commserver/commserver/client"
)

// chart is columns over time: a picture, and the same figures as a table for who cannot see it. The picture is
// stretched to its place; words stand outside of it, so that they keep their size.
type chart struct {
	ID, Title string
	Series    []series
	Columns   []column
	Top       string   // what the highest line stands for
	Labels    []string // along the time, evenly spread
	Width     float64  // of the picture, in its own units
	Height    float64
	Lines     []float64 // heights of the lines behind the columns
	Empty     bool
	Nothing   string             // what is said where it is empty
	Say       func(int64) string // writes a value
}

// series is one colour of the columns.
type series struct {
	Name, Class string
	Total       int64
	Shown       string // what stands beside its name
}

// column is one step of the time.
type column struct {
	At     time.Time
	Name   string // for people
	Values []int64
	Bars   []bar
	X, W   float64
	Tip    string // what it says of itself
}

type bar struct {
	Class      string
	X, Y, W, H float64
}

// step is what a chart is made of.
type step struct {
	At     time.Time
	Values []int64
}

const (
	chartHeight = 100.0
	columnRoom  = 10.0
	columnGap   = 2.0
	gridLines   = 4
	timeLabels  = 5
)

// columns makes a chart of steps, oldest first; every step has a value for each of the series, which are stacked. layout writes their times.
func columns(id, title string, of []series, steps []step, layout string) chart {
	c := chart{ID: id, Title: title, Series: of, Nothing: "Nothing in this time.", Say: func(n int64) string { return number(n) }}
	var highest int64
	totals := make([]int64, len(steps))
	for at, s := range steps {
		for i, n := range s.Values {
			totals[at] += n
			c.Series[i].Total += n
		}
		highest = max(highest, totals[at])
	}
	for i := range c.Series {
		c.Series[i].Shown = number(c.Series[i].Total)
	}
	c.Empty = highest == 0
	top := roundUp(highest)
	c.Top = number(top)
	c.draw(steps, layout)
	for at := range c.Columns {
		col := &c.Columns[at]
		col.Tip = col.Name + ": " + number(totals[at])
		y := chartHeight
		for k, n := range col.Values {
			if n > 0 {
				h := heightOf(n, top)
				y -= h
				col.Bars = append(col.Bars, col.bar(of[k].Class, y, h))
			}
		}
	}
	return c
}

// waitsOf makes a chart of how long messages took that were sent: of each step how long half of them, before how long 95 of 100. What a
// step has of both is in milliseconds, 0 where none was sent; all is that of the whole time.
func waitsOf(id, title string, all client.StatsWait, steps []step, layout string) chart {
	c := chart{ID: id, Title: title, Nothing: "Nothing was sent in this time.", Say: wait,
		Series: []series{{Name: "Half within", Class: "c-info", Shown: wait(all.P50)}, {Name: "95 % within", Class: "c-quiet", Shown: wait(all.P95)}}}
	var highest int64
	for _, s := range steps {
		highest = max(highest, slices.Max(s.Values))
	}
	c.Empty = highest == 0
	top := roundWait(highest)
	c.Top = wait(top)
	c.draw(steps, layout)
	for at := range c.Columns {
		col := &c.Columns[at]
		if col.Tip = col.Name + ": none sent"; col.Values[0] > 0 {
			col.Tip = col.Name + ": half within " + wait(col.Values[0]) + ", 95 % within " + wait(col.Values[1])
		}
		for k, n := range slices.Backward(col.Values) { // the higher one behind
			if n > 0 {
				h := heightOf(n, top)
				col.Bars = append(col.Bars, col.bar(c.Series[k].Class, chartHeight-h, h))
			}
		}
	}
	return c
}

// wait writes milliseconds of a chart of waits.
func wait(ms int64) string {
	if ms == 0 {
		return "none"
	}
	return words(time.Duration(ms) * time.Millisecond)
}

// draw sets what all charts have: lines, columns without bars, and times.
func (c *chart) draw(steps []step, layout string) {
	c.Width, c.Height = columnRoom*float64(max(len(steps), 1)), chartHeight
	for i := range gridLines {
		c.Lines = append(c.Lines, round1(chartHeight*float64(i)/gridLines))
	}
	for i, s := range steps {
		c.Columns = append(c.Columns, column{At: s.At, Name: s.At.UTC().Format(layout), Values: s.Values, X: columnRoom * float64(i), W: columnRoom})
	}
	if len(steps) > 1 {
		for i := range timeLabels {
			c.Labels = append(c.Labels, c.Columns[i*(len(steps)-1)/(timeLabels-1)].Name)
		}
	}
}

// bar is a part of the column, from y down.
func (col *column) bar(class string, y, h float64) bar {
	return bar{class, col.X + columnGap/2, round1(math.Max(y, 0)), columnRoom - columnGap, round1(h)}
}

// heightOf is that of a value where the chart is as high as top. One of a million is still seen.
func heightOf(n, top int64) float64 { return math.Max(chartHeight*float64(n)/float64(top), 0.6) }

func round1(x float64) float64 { return math.Round(x*10) / 10 }

// roundUp is the next of 1, 2, 5, 10, 20, 50 and so on; of what is larger than any count it is n itself.
func roundUp(n int64) int64 {
	for power := int64(1); power < math.MaxInt64/10; power *= 10 {
		for _, m := range []int64{1, 2, 5} {
			if m*power >= n {
				return m * power
			}
		}
	}
	return n
}

// roundWait is the next of times that read well, in milliseconds: 1, 2, 5 and so on, then such of seconds, minutes, hours and days.
func roundWait(ms int64) int64 {
	for _, unit := range []struct{ ms, upTo int64 }{{1, 1000}, {1000, 60}, {60_000, 60}, {3_600_000, 24}} {
		for _, n := range []int64{1, 2, 5, 10, 20, 30, 50, 100, 200, 500} {
			if n < unit.upTo && n*unit.ms >= ms {
				return n * unit.ms
			}
		}
	}
	const ofDay = int64(day / time.Millisecond)
	return roundUp((ms+ofDay-1)/ofDay) * ofDay
}

// percent is a part of a whole for people, "" of nothing.
func percent(part, whole int64) string {
	if whole == 0 || part == 0 {
		return ""
	}
	p := 100 * float64(part) / float64(whole)
	switch {
	case p < 0.1:
		return "< 0.1 %"
	case p > 99.9 && part < whole:
		return "> 99.9 %"
	}
	return strconv.FormatFloat(math.Round(p*10)/10, 'f', -1, 64) + " %"
}
