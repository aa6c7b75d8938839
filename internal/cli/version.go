package cli

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/commserver/commserver/internal/licence"
)

const versionHelp = `Shows the version, the commit with its time, and the Go release that the program was built with, as the build recorded them: two builds of one
commit by one Go release are the same bytes. --licences lists every module of others that is built in, with its version and licence (SPDX); their texts are
in the archive of a release.`

func versionCommand(s Streams) *cobra.Command {
	var asJSON, licences bool
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Show the version, the commit, the Go release and the licences it was built with",
		Long:    versionHelp,
		Example: "  commserver version\n  commserver version --licences\n  commserver version --json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			b := readBuild()
			switch {
			case asJSON:
				if !licences {
					b.Licences = nil
				}
				return json.NewEncoder(s.Out).Encode(b)
			case licences:
				return b.printLicences(s)
			}
			_, err := fmt.Fprint(s.Out, b.text())
			return err
		},
	}
	cmd.Flags().BoolVar(&licences, "licences", false, "list the modules that are built in, with their licences")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print it as JSON")
	return cmd
}

// build is what the program was built from.
type build struct {
	Version  string         `json:"version"`
	Commit   string         `json:"commit"`
	Time     string         `json:"commitTime"` // of the commit: a build's own would make each build another one
	Modified bool           `json:"modified"`   // the tree had changes that no commit has
	Go       string         `json:"go"`
	System   string         `json:"system"`
	Licence  string         `json:"licence"`
	Licences []builtLicence `json:"licences,omitempty"`
}

type builtLicence struct {
	Module  string `json:"module"`
	Version string `json:"version"`
	Licence string `json:"licence"`
}

func readBuild() build {
	b := build{Version: buildVersion(), Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH, Licence: licence.Product}
	versions := map[string]string{"std": runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok {
		if v := info.Main.Version; v != "" && v != "(devel)" {
			b.Version = v
		}
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				b.Commit = s.Value
			case "vcs.time":
				b.Time = s.Value
			case "vcs.modified":
				b.Modified = s.Value == "true"
			}
		}
		for _, m := range info.Deps {
			versions[m.Path] = m.Version
		}
	}
	for _, m := range licence.Modules() {
		if v, in := versions[m.Path]; in { // others belong to other systems
			b.Licences = append(b.Licences, builtLicence{m.Path, v, m.SPDX})
		}
	}
	return b
}

func (b *build) text() string {
	out := fmt.Sprintf("commserver %s\nbuilt with %s for %s\n", b.Version, b.Go, b.System)
	if b.Commit != "" {
		out += fmt.Sprintf("commit %s of %s\n", b.Commit, b.Time)
	}
	if b.Modified {
		out += "with changes that no commit has\n"
	}
	return out
}

func (b *build) printLicences(s Streams) error {
	w := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintf(w, "commserver\t%s\t%s\n", b.Version, b.Licence) // Flush answers for it
	for _, l := range b.Licences {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\n", l.Module, l.Version, l.Licence)
	}
	return w.Flush()
}

// versionLine is what 'commserver --version' prints.
func versionLine() string {
	return fmt.Sprintf("commserver %s %s %s/%s", buildVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// buildVersion is the module version, or the commit that the binary was built from, as the Go toolchain recorded it.
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return s.Value[:12]
		}
	}
	if info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
