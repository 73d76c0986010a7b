package bench

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

// Machine is what figures were measured on.
type Machine struct {
	Cores    int    `json:"cores"`
	CPU      string `json:"cpu"`
	System   string `json:"system"`
	Go       string `json:"go"`
	Postgres string `json:"postgres"`
}

// machine is this one; postgres is the server's version.
func machine(postgres string) Machine {
	return Machine{Cores: runtime.NumCPU(), CPU: processor(), System: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(), Postgres: postgres}
}

func (m Machine) String() string {
	return fmt.Sprintf("%d cores (%s), %s, %s, Postgres %s", m.Cores, m.CPU, m.System, m.Go, m.Postgres)
}

// processor is the CPU's name, where the system tells.
func processor() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}
