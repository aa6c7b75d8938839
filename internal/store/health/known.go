package health

import (
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// Told is what the store has of how configurations fare: what the nodes that send with them say, and what was counted. Each may be empty, and be of
// any configurations in any order.
type Told struct {
	Troubles []store.ProviderTrouble
	Strains  []store.ProviderStrain
	Days     []store.DayUse
}

// Known has the fields of chain.Known, to which it converts: neither package may import the other.
type Known struct {
	Broken    string
	Throttled comm.Micros
	Down      bool
	DownUntil comm.Micros
	Spent     comm.Micros
}

// Known puts together how each configuration fares at now for messages that are CRITICAL, for which alone reserve percent of its day are kept, or are not.
// Of a configuration that several nodes share the day is spent when all that it allows was counted: a node may have used its own part of it before.
func (t *Told) Known(now comm.Micros, reserve int) func(c *comm.ProviderConfig, critical bool) Known {
	troubles, strains, used := ByConfig(t.Troubles), StrainsByConfig(t.Strains), map[comm.ID]int{}
	for _, d := range t.Days {
		if d.Day >= now.Day() {
			used[d.Provider] = d.Used
		}
	}
	return func(c *comm.ProviderConfig, critical bool) Known {
		h := Together(troubles[c.ID])
		k := Known{Throttled: OfLate(strains[c.ID]).ThrottledUntil, DownUntil: h.NextAt}
		k.Broken, k.Down = h.Bars(c.Limits.Pinned)
		if c.Limits.RatePerDay > 0 && used[c.ID] >= c.Limits.DayFor(critical, reserve) {
			k.Spent = now.NextDay()
		}
		return k
	}
}

// Daily lists the apps that have a configuration with a limit per day among these, of which those of one app stand together: whose days are to be read.
func Daily(configs []comm.ProviderConfig) (apps []comm.ID) {
	for i := range configs {
		if app := configs[i].App; configs[i].Limits.RatePerDay > 0 && (len(apps) == 0 || apps[len(apps)-1] != app) {
			apps = append(apps, app)
		}
	}
	return apps
}
