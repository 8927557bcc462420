module pyfl/gocore

go 1.26.0
