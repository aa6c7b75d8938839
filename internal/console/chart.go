package console

import (
	"math"
	"strconv"
	"time"
)

// chart is stacked columns over time: a picture, and the same figures as a table for who cannot see it. The picture is
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
}

// series is one colour of the columns.
type series struct {
	Name, Class string
	Total       int64
}

// column is one step of the time.
type column struct {
	At     time.Time
	Name   string // for people
	Values []int64
	Bars   []bar
	X, W   float64
	Total  int64
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

// columns makes a chart of steps, oldest first; every step has a value for each of the series. layout writes their times.
func columns(id, title string, of []series, steps []step, layout string) chart {
	c := chart{ID: id, Title: title, Series: of, Width: columnRoom * float64(max(len(steps), 1)), Height: chartHeight, Empty: true}
	var highest int64
	for _, s := range steps {
		var total int64
		for i, n := range s.Values {
			total += n
			c.Series[i].Total += n
		}
		highest = max(highest, total)
	}
	c.Empty = highest == 0
	top := roundUp(highest)
	c.Top = number(top)
	for i := range gridLines {
		c.Lines = append(c.Lines, math.Round(chartHeight*float64(i)/gridLines*10)/10)
	}
	for i, s := range steps {
		col := column{At: s.At, Name: s.At.UTC().Format(layout), Values: s.Values, X: columnRoom * float64(i), W: columnRoom}
		y := chartHeight
		for k, n := range s.Values {
			col.Total += n
			if n == 0 {
				continue
			}
			h := math.Max(chartHeight*float64(n)/float64(top), 0.6) // one of a million is still seen
			y -= h
			col.Bars = append(col.Bars, bar{of[k].Class, col.X + columnGap/2, round1(math.Max(y, 0)), columnRoom - columnGap, round1(h)})
		}
		c.Columns = append(c.Columns, col)
	}
	if len(steps) > 1 {
		for i := range timeLabels {
			c.Labels = append(c.Labels, steps[i*(len(steps)-1)/(timeLabels-1)].At.UTC().Format(layout))
		}
	}
	return c
}

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
