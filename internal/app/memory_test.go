package app

import (
	"os"
	"path/filepath"
	"testing"
)

func TestMemoryLimit(t *testing.T) {
	t.Parallel()
	const v2, v1, machine = "sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes", "proc/meminfo"
	for _, c := range []struct {
		name  string
		files map[string]string
		want  int64
	}{
		{"nothing is known", nil, 1 << 30},
		{"machine of 4 GiB", map[string]string{machine: "MemTotal:        4194304 kB\nMemFree:  1 kB\n"}, 3 << 30},
		{"container of 512 MiB", map[string]string{machine: "MemTotal:        4194304 kB\n", v2: "536870912\n"}, 384 << 20},
		{"container without a limit", map[string]string{machine: "MemTotal:        4194304 kB\n", v2: "max\n"}, 3 << 30},
		{"old container without a limit", map[string]string{machine: "MemTotal:        4194304 kB\n", v1: "9223372036854771712\n"}, 3 << 30},
		{"old container of 1 GiB", map[string]string{machine: "MemTotal:        4194304 kB\n", v1: "1073741824\n"}, 768 << 20},
		{"tiny container", map[string]string{v2: "33554432\n"}, 128 << 20},
		{"unreadable account", map[string]string{machine: "MemTotal: lots\n", v2: "-1\n"}, 1 << 30},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			for name, text := range c.files {
				path := filepath.Join(root, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if got := memoryLimit(root); got != c.want {
				t.Errorf("%d MiB, want %d", got>>20, c.want>>20)
			}
		})
	}
}
