package demo

import (
	"encoding/json"
	"mime"
	"net/http"
)

// RatePath is where Handler answers.
const RatePath = "/demo/rate"

// rate is what Handler takes and gives: actions a second.
type rate struct {
	Rate float64 `json:"rate"`
	Max  float64 `json:"max"`
}

// Handler tells (GET) and sets (POST) the traffic's rate as JSON, {"rate": 8}. The answer holds the rate now in force
// and the highest possible one. A POST must say that it is application/json, which a form on another site can't.
func (d *Demo) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+RatePath, d.writeRate)
	mux.HandleFunc("POST "+RatePath, d.setRate)
	return mux
}

func (d *Demo) writeRate(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(rate{Rate: d.Rate(), Max: MaxRate}) // whoever asked has gone
}

func (d *Demo) setRate(w http.ResponseWriter, r *http.Request) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		http.Error(w, "send application/json", http.StatusUnsupportedMediaType)
		return
	}
	var wanted struct {
		Rate *float64 `json:"rate"`
	}
	const most = 1 << 10
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, most)).Decode(&wanted); err != nil || wanted.Rate == nil {
		http.Error(w, `send {"rate": number}`, http.StatusBadRequest)
		return
	}
	if err := d.SetRate(*wanted.Rate); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	d.writeRate(w, r)
}
