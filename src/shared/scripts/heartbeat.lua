-- ARGV[3]: the replica. ARGV[4], ARGV[5]: the day and the count that it was told. ARGV[6]: its calls while the store was away.
-- ARGV[7]: how long ago it had read all changes. ARGV[8]: what it says of itself.
local told_day, told, offline = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
turn_day(told_day)
if told_day == day then
  local field = 'offline:' .. ARGV[3]
  local counted = tonumber(redis.call('HGET', fleet, field)) or 0
  local merged = math.max(spent, told)
  if offline > counted then
    merged = merged + offline - counted
    redis.call('HSET', fleet, field, offline)
  end
  if merged > spent then
    spent, sequence = merged, sequence + 1
    redis.call('HSET', fleet, 'spent', spent, 'sequence', sequence)
  end
end
redis.call('HSET', KEYS[3], ARGV[3], string.format('%.0f', now) .. ' ' .. ARGV[7] .. ' ' .. ARGV[8])
return fleet_state()
