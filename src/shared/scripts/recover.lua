-- ARGV[1]: the epoch that the replica knows, or ''. ARGV[2]: the highest sequence that it was told. ARGV[3]: the epoch to
-- begin. ARGV[4], ARGV[5]: the day and the count that it was told. ARGV[6]: the calls that can be lost. ARGV[7]: '1' if
-- the server has changed. ARGV[8]: the last purge of all that it was told of.
local known, seen = ARGV[1], tonumber(ARGV[2])
local told_day, told, margin = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local told_purged = tonumber(ARGV[8])
-- What is fetched from now on has a higher fence than both.
local highest = math.max(seen, told_purged)
turn_day(told_day)
if not epoch or (epoch == known and (sequence < seen or ARGV[7] == '1')) then
  -- The margin is what ten seconds can lose. After less time since the last recovery, less can be lost.
  local recovered_at = tonumber(redis.call('HGET', fleet, 'recovered_at'))
  if recovered_at and now >= recovered_at then
    margin = math.min(margin, math.ceil(margin * (now - recovered_at) / 10000) + 1)
  end
  if told_day == day then spent = math.max(spent, told) end
  -- Who knows no epoch cannot tell a new store from one that has lost everything.
  local forked = known ~= '' and 1 or 0
  epoch, spent = ARGV[3], spent + margin
  -- Higher than every fence before, even if nobody remembers one: a history has granted less than a million a second.
  sequence = math.max(math.max(sequence, highest) + 1048576, math.floor(now / 1000) * 1048576)
  -- Calls of the last second may be unknown too.
  local next_call = math.max(ahead(fields[6]), now + 1100)
  redis.call('HSET', fleet, 'epoch', epoch, 'sequence', sequence, 'day', day, 'spent', spent, 'next_call', next_call,
    'recovered_at', now, 'charged', margin, 'forked', forked)
  tell('epoch', epoch)
else
  if told_day == day then
    -- It knows what was counted up to its last contact, and others may have called since.
    if known ~= '' and known ~= epoch then
      told = told + math.min(margin, tonumber(redis.call('HGET', fleet, 'charged')) or 0)
    end
    -- As after a heartbeat: a copy that lacks it is an older one.
    if told > spent then spent, sequence = told, sequence + 1 end
  end
  if told_purged > purged then sequence = sequence + 1 end
  -- What this replica holds would be newer than all that is to come.
  if sequence < highest then sequence = highest + 1048576 end
  redis.call('HSET', fleet, 'spent', spent, 'sequence', sequence)
end
if told_purged > purged then
  purged = told_purged
  redis.call('HSET', fleet, 'purged', purged)
end
return fleet_state()
