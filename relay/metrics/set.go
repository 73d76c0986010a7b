package metrics

import "github.com/prometheus/client_golang/prometheus"

const namespace = "pgrelay"

// other takes what a set doesn't know, so that no caller can make series without bound.
const other = "other"

// set is a counter by one label whose values are known beforehand.
type set map[string]prometheus.Counter

func newSet(r prometheus.Registerer, name, help, label string, values ...string) set {
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, []string{label})
	r.MustRegister(vec)
	s := set{other: vec.WithLabelValues(other)}
	for _, v := range values {
		s[v] = vec.WithLabelValues(v)
	}
	return s
}

func (s set) of(value string) prometheus.Counter {
	if c, ok := s[value]; ok {
		return c
	}
	return s[other]
}

func gauge(r prometheus.Registerer, name, help string) prometheus.Gauge {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help})
	r.MustRegister(g)
	return g
}

func counter(r prometheus.Registerer, name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help})
	r.MustRegister(c)
	return c
}

// seconds is a histogram from 1 ms to half an hour, in powers of four.
func seconds(r prometheus.Registerer, name, help string) prometheus.Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: namespace, Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(0.001, 4, 11),
	})
	r.MustRegister(h)
	return h
}

func sourceGauge(r prometheus.Registerer, name, help string) *prometheus.GaugeVec {
	v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, []string{"source"})
	r.MustRegister(v)
	return v
}

func sourceCounter(r prometheus.Registerer, name, help string) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, []string{"source"})
	r.MustRegister(v)
	return v
}
