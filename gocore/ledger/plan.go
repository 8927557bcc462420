// Who should vote: a pure function from what the leader sees to the next single step.
//
// Rules: a peer becomes a voter by way of a non-voter that has caught up; a dead voter goes only after its
// replacement has come, or when there is none; nothing rests at an even number that need not; no step leaves fewer
// live voters than a majority; nobody is moved for the sake of balance alone.

package ledger

import "sort"

// health of a server of the configuration.
type health int

const (
	healthy  health = iota
	away            // not seen, not long enough to be replaced
	weak            // alive, not eligible for longer than the grace: replaced if someone is there to do it
	departed        // dead, wiped, leaving: to be replaced or removed
)

type seat struct {
	ID     string
	Voter  bool
	Health health
	Alive  bool // takes part in a quorum now
	Caught bool // a non-voter whose log has caught up
}

type applicant struct {
	Peer   PeerID
	Region string
	Site   string
}

type planInput struct {
	Self       string // the leader's server
	Seats      []seat // the latest configuration
	Applicants []applicant
	Places     map[PeerID]applicant // labels of the peers that have a seat
	Voters     int                  // wanted, 0 automatic
}

type stepKind int

const (
	stepNone     stepKind = iota
	stepAdd               // Peer as a non-voter
	stepPromote           // Server
	stepRemove            // Server
	stepTransfer          // leadership to Server
)

type step struct {
	Kind   stepKind
	Server string
	Peer   PeerID
}

// wantedVoters: 1 for up to two peers, 3 for up to four, else 5; a fixed number is reduced to what there is.
func wantedVoters(peers, fixed int) int {
	if fixed > 0 {
		n := min(fixed, peers)
		return max(1, n-(n+1)%2)
	}
	switch {
	case peers <= 2:
		return 1
	case peers <= 4:
		return 3
	}
	return 5
}

func plan(in planInput) step {
	var stay, leaving, waiting []seat
	taken := map[PeerID]bool{}
	voters := 0
	for _, s := range in.Seats {
		switch {
		case !s.Voter:
			waiting = append(waiting, s)
			continue
		case s.Health == departed:
			leaving = append(leaving, s)
		default:
			stay = append(stay, s)
			taken[peerOf(s.ID)] = true
		}
		voters++
	}
	var applicants []applicant
	for _, a := range in.Applicants {
		if !taken[a.Peer] {
			applicants = append(applicants, a)
		}
	}
	wanted := wantedVoters(len(stay)+len(applicants), in.Voters)
	stay, extra := in.keep(stay, wanted)
	need := wanted - len(stay)
	if need == 0 && len(extra) == 0 && len(applicants) > 0 {
		if i := lastWeak(stay, in.Self); i >= 0 { // one at a time
			leaving = append(leaving, stay[i])
			stay = append(stay[:i:i], stay[i+1:]...)
			need = 1
		}
	}
	chosen := in.choose(applicants, stay, waiting, need)

	// Non-voters that nobody waits for any more.
	seated := map[PeerID]seat{}
	for _, s := range waiting {
		if !chosen[peerOf(s.ID)] || s.Health == departed {
			return step{Kind: stepRemove, Server: s.ID}
		}
		seated[peerOf(s.ID)] = s
	}
	caught := 0
	for _, peer := range sortedPeers(chosen) {
		s, ok := seated[peer]
		if !ok {
			return step{Kind: stepAdd, Peer: peer}
		}
		if s.Caught {
			caught++
		}
	}
	// A replacement is promoted when it can be; growth goes by two, together.
	if caught > 0 && (caught == len(chosen) || len(leaving) > 0 && voters <= wanted) {
		for _, peer := range sortedPeers(chosen) {
			if s := seated[peer]; s.Caught && in.majorityWith(s) {
				return step{Kind: stepPromote, Server: s.ID}
			}
		}
	}
	if voters <= wanted {
		return step{}
	}
	// Too many: the dead first, since a live voter's removal would leave the quorum to them.
	sort.SliceStable(leaving, func(i, j int) bool {
		a, b := leaving[i], leaving[j]
		if a.Alive != b.Alive {
			return !a.Alive
		}
		return a.ID != in.Self && b.ID == in.Self
	})
	for _, s := range append(leaving, extra...) {
		if s.ID == in.Self {
			if heir := in.heir(stay); heir != "" {
				return step{Kind: stepTransfer, Server: heir}
			}
			continue
		}
		if in.majorityWithout(s) {
			return step{Kind: stepRemove, Server: s.ID}
		}
	}
	return step{}
}

// keep splits voters into those to stay and those beyond the wanted number; the leader stays.
func (in planInput) keep(voters []seat, wanted int) (stay, extra []seat) {
	stay = append(stay, voters...)
	for len(stay) > wanted {
		crowd := in.crowds(stay)
		worst := -1
		for i, s := range stay {
			if s.ID != in.Self && (worst < 0 || in.worse(s, stay[worst], crowd)) {
				worst = i
			}
		}
		if worst < 0 {
			break
		}
		extra = append(extra, stay[worst])
		stay = append(stay[:worst], stay[worst+1:]...)
	}
	return stay, extra
}

// worse orders voters by how willingly one goes: not seen, not eligible, from a crowded site, then by id.
func (in planInput) worse(a, b seat, crowd map[applicant]int) bool {
	rank := func(s seat) int { return map[health]int{away: 2, weak: 1}[s.Health] }
	if rank(a) != rank(b) {
		return rank(a) > rank(b)
	}
	if ca, cb := crowd[in.place(a)], crowd[in.place(b)]; ca != cb {
		return ca > cb
	}
	return a.ID > b.ID
}

func (in planInput) place(s seat) applicant {
	p := in.Places[peerOf(s.ID)]
	return applicant{Region: p.Region, Site: p.Site}
}

func (in planInput) crowds(seats []seat) map[applicant]int {
	crowd := map[applicant]int{}
	for _, s := range seats {
		crowd[in.place(s)]++
	}
	return crowd
}

func lastWeak(stay []seat, self string) int {
	found := -1
	for i, s := range stay {
		if s.Health == weak && (found < 0 || stay[found].ID == self) {
			found = i
		}
	}
	return found
}

// choose picks peers for the free seats: first those that wait already, then by site, region and id.
func (in planInput) choose(applicants []applicant, stay, waiting []seat, need int) map[PeerID]bool {
	begun := map[PeerID]bool{}
	for _, s := range waiting {
		begun[peerOf(s.ID)] = s.Health != departed
	}
	sites, regions := map[applicant]int{}, map[string]int{}
	for _, s := range stay {
		place := in.place(s)
		sites[place]++
		regions[place.Region]++
	}
	chosen := map[PeerID]bool{}
	for len(chosen) < need {
		var best *applicant
		less := func(a, b applicant) bool {
			if begun[a.Peer] != begun[b.Peer] {
				return begun[a.Peer]
			}
			pa, pb := applicant{Region: a.Region, Site: a.Site}, applicant{Region: b.Region, Site: b.Site}
			if sites[pa] != sites[pb] {
				return sites[pa] < sites[pb]
			}
			if regions[a.Region] != regions[b.Region] {
				return regions[a.Region] < regions[b.Region]
			}
			return a.Peer < b.Peer
		}
		for i, a := range applicants {
			if !chosen[a.Peer] && (best == nil || less(a, *best)) {
				best = &applicants[i]
			}
		}
		if best == nil {
			break
		}
		chosen[best.Peer] = true
		sites[applicant{Region: best.Region, Site: best.Site}]++
		regions[best.Region]++
	}
	return chosen
}

func (in planInput) tally() (voters, alive int) {
	for _, s := range in.Seats {
		if s.Voter {
			voters++
			if s.Alive {
				alive++
			}
		}
	}
	return voters, alive
}

func (in planInput) majorityWith(s seat) bool {
	voters, alive := in.tally()
	if s.Alive {
		alive++
	}
	return alive > (voters+1)/2
}

func (in planInput) majorityWithout(s seat) bool {
	voters, alive := in.tally()
	if s.Alive {
		alive--
	}
	return alive > (voters-1)/2
}

// heir is the voter that takes the leadership over.
func (in planInput) heir(stay []seat) string {
	best := ""
	for _, s := range stay {
		if s.ID != in.Self && s.Alive && s.Health == healthy && (best == "" || s.ID < best) {
			best = s.ID
		}
	}
	return best
}

func sortedPeers(set map[PeerID]bool) []PeerID {
	out := make([]PeerID, 0, len(set))
	for p := range set {
		out = append(out, p)
	}
	sort.Strings(out)
	return out
}
