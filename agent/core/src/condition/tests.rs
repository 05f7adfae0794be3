//! Drives in samples that a test writes by hand: each fault is named with its size, and a sound drive says nothing.

use super::document::tests::EXAMPLE;
use super::*;
use crate::signal::SignalId;
use std::collections::HashMap;
use std::fmt::Write as _;

const TAU: f64 = core::f64::consts::TAU;

/// What is wrong.
#[derive(Clone, Copy)]
struct Faults {
    torque_nm: f64,
    gain: f64,
    motor_k: f64,
    radiator: f64,
    contactor_ohm: f64,
    low_voltage_ohm: f64,
}

const SOUND: Faults = Faults {
    torque_nm: 0.0,
    gain: 1.0,
    motor_k: 0.0,
    radiator: 1.0,
    contactor_ohm: 0.002,
    low_voltage_ohm: 0.008,
};

/// The paths that the monitor reads, in the order of its places, with unit symbols.
const PATHS: [(&str, &str); 13] = [
    ("Vehicle.Powertrain.TractionBattery.CurrentVoltage", "V"),
    ("Vehicle.Powertrain.TractionBattery.CurrentCurrent", "A"),
    ("Vehicle.Powertrain.TractionBattery.IsPowerConnected", ""),
    ("Vehicle.Powertrain.ElectricMotor.Torque", "Nm"),
    ("Vehicle.Powertrain.ElectricMotor.Speed", "rpm"),
    ("Vehicle.Powertrain.Inverter.DcVoltage", "V"),
    ("Vehicle.Powertrain.Inverter.DcCurrent", "A"),
    ("Vehicle.Powertrain.Inverter.LinkVoltage", "V"),
    ("Vehicle.Powertrain.ElectricMotor.Temperature", "degC"),
    ("Vehicle.Powertrain.ElectricMotor.CoolantTemperature", "degC"),
    ("Vehicle.Exterior.AirTemperature", "degC"),
    ("Vehicle.LowVoltageBattery.CurrentVoltage", "V"),
    ("Vehicle.LowVoltageBattery.CurrentCurrent", "A"),
];

fn catalog() -> Catalog {
    let mut dbc = "VERSION \"\"\nBS_:\nBU_: A\n".to_owned();
    let mut text = "schema = 1\n[[bus]]\nname = \"b\"\ndbc = [\"a.dbc\"]\n".to_owned();
    for (n, (path, unit)) in PATHS.iter().enumerate() {
        writeln!(dbc, "BO_ {} M{n}: 8 A\n SG_ S{n} : 0|32@1- (0.001,0) [0|0] \"\" X", 256 + n).unwrap();
        writeln!(text, "[[signal]]\nvss = \"{path}\"\nsignal = \"S{n}\"\nunit = \"{unit}\"\nstale_ms = 2000")
            .unwrap();
    }
    Catalog::parse(&text, "c.toml", &mut |_| Ok(dbc.clone().into_bytes())).unwrap()
}

struct Held(HashMap<SignalId, (f64, MonoTime)>);

impl Latest for Held {
    fn sample(&self, id: SignalId) -> (Result<f64, NoData>, Option<MonoTime>) {
        match self.0.get(&id) {
            Some((value, at)) => (Ok(*value), Some(*at)),
            None => (Err(NoData::NotReceived), None),
        }
    }
}

/// A drive whose temperatures follow its losses.
struct Bench {
    catalog: Catalog,
    monitor: ConditionMonitor,
    held: Held,
    now: MonoTime,
    /// Motor above the coolant, coolant above the air.
    above: (f64, f64),
    records: VecDeque<Record>,
}

const ANCHOR: ClockAnchor = ClockAnchor { mono: MonoTime(0), wall: WallTime(1_767_247_200_000_000) };

impl Bench {
    fn new() -> Bench {
        let catalog = catalog();
        let monitor = ConditionMonitor::new(Condition::parse(EXAMPLE, "c").unwrap(), &catalog);
        let held = Held(HashMap::new());
        Bench { catalog, monitor, held, now: MonoTime(0), above: (0.0, 0.0), records: VecDeque::new() }
    }

    fn turn(&mut self, values: [f64; 13]) {
        for ((path, _), value) in PATHS.iter().zip(values) {
            self.held.0.insert(self.catalog.signal_id(path).unwrap(), (value, self.now));
        }
        self.now = self.now.plus(STEP);
        self.monitor.advance(self.now, &self.held, Some(ANCHOR), &mut self.records);
    }

    /// Starts, and drives for so many minutes; then the buses sleep for an hour.
    fn drive(&mut self, minutes: u32, faults: Faults) {
        let parked = |low_v: f64, low_a: f64| {
            [400.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 20.0, 20.0, 20.0, low_v, low_a]
        };
        for amperes in [5.0, 5.0, 45.0, 45.0] {
            self.turn(parked(12.6 - amperes * faults.low_voltage_ohm, -amperes));
        }
        let losses = self.monitor.condition.losses;
        for n in 0..minutes * 300 {
            let seconds = f64::from(n) * STEP_S;
            let torque = 45.0 + 60.0 * (TAU * seconds / 47.0).sin();
            let speed = 400.0 + 250.0 * (TAU * seconds / 131.0).sin();
            let (motor_w, all_w) = (losses.motor(torque, speed), losses.drive(torque, speed));
            let (motor, coolant) = &mut self.above;
            let through = *motor * 90.0;
            *motor += (motor_w - through) / 30_000.0 * STEP_S;
            *coolant += (through + all_w - motor_w - *coolant * 150.0 * faults.radiator) / 18_000.0 * STEP_S;
            let electric = torque * speed + all_w;
            let amperes = electric / 400.0;
            let (coolant_c, motor_c) = (20.0 + *coolant, 20.0 + *coolant + *motor);
            self.turn([
                400.0,
                -amperes,
                1.0,
                torque + faults.torque_nm,
                speed * 60.0 / TAU,
                400.0,
                amperes * faults.gain,
                400.0 - amperes * faults.contactor_ohm,
                motor_c + faults.motor_k,
                coolant_c,
                20.0,
                14.1,
                1.5,
            ]);
        }
        self.now = self.now.plus(Duration::from_secs(3_600));
        self.above = (0.0, 0.0);
    }

    fn verdicts(&self) -> Vec<&VerdictEvent> {
        let records = self.records.iter();
        records
            .filter_map(|record| if let Record::Verdict(event) = record { Some(event) } else { None })
            .collect()
    }

    fn level(&self, quantity: Quantity) -> Option<f64> {
        let mut view = Vec::new();
        self.monitor.look(&mut view);
        view.iter().find(|known| known.quantity == quantity)?.level.map(|level| level.value)
    }
}

#[test]
fn a_sound_drive_has_its_figures_and_no_verdict() {
    let mut bench = Bench::new();
    (0..4).for_each(|_| bench.drive(45, SOUND));
    assert_eq!(bench.verdicts(), Vec::<&VerdictEvent>::new());
    for (quantity, expected, off) in [
        (Quantity::TorqueOffset, 0.0, 0.05),
        (Quantity::CurrentGain, 1.0, 0.001),
        (Quantity::MotorTemperatureOffset, 0.0, 0.5),
        (Quantity::DriveThermalResistance, 1.0 / 150.0, 0.0007),
        (Quantity::ContactorResistance, 0.002, 1e-5),
        (Quantity::LowVoltageRest, 12.56, 0.001),
        (Quantity::LowVoltageResistance, 0.008, 1e-5),
    ] {
        let level = bench.level(quantity).unwrap();
        assert!((level - expected).abs() < off, "{quantity}: {level}");
    }
    assert!(bench.records.iter().any(|record| matches!(record, Record::Estimate(_))), "the figures are told");
}

#[test]
fn each_fault_is_named_alone_with_its_size() {
    for (subject, faults, size, off) in [
        ("Torque", Faults { torque_nm: 8.0, ..SOUND }, 8.0, 0.3),
        ("InverterCurrent", Faults { gain: 1.08, ..SOUND }, 1.08, 0.005),
        ("MotorTemperature", Faults { motor_k: 15.0, ..SOUND }, 15.0, 0.5),
        ("DriveCooling", Faults { radiator: 0.3, ..SOUND }, 1.0 / 45.0, 0.003),
        ("Contactors", Faults { contactor_ohm: 0.06, ..SOUND }, 0.06, 1e-4),
        ("LowVoltageBattery", Faults { low_voltage_ohm: 0.024, ..SOUND }, 0.024, 1e-4),
    ] {
        let mut bench = Bench::new();
        (0..4).for_each(|_| bench.drive(45, faults));
        let verdicts = bench.verdicts();
        let [event] = verdicts[..] else { panic!("{subject}: {verdicts:#?}") };
        assert_eq!((event.subject.as_str(), event.verdict), (subject, VerdictCode::Anomalous));
        assert_eq!(event.model.name, MODEL_NAME);
        let told = &event.evidence[0];
        assert!((f64::from(told.value) - size).abs() < off, "{subject}: {told:?}");
        assert!(event.since.wall.unwrap() <= event.at.wall.unwrap());
    }
}

#[test]
fn what_is_known_outlives_a_restart_and_ends_when_it_is_mended() {
    let mut bench = Bench::new();
    (0..4).for_each(|_| bench.drive(20, Faults { contactor_ohm: 0.06, ..SOUND }));
    assert_eq!(bench.verdicts().len(), 1);
    let state = bench.monitor.state();
    assert!(state.len() <= MAX_STATE && bench.monitor.observed() > 20, "{}", state.len());
    bench.monitor = ConditionMonitor::new(Condition::parse(EXAMPLE, "c").unwrap(), &bench.catalog);
    assert!(bench.monitor.restore(&state));
    bench.drive(20, Faults { contactor_ohm: 0.06, ..SOUND });
    assert_eq!(bench.verdicts().len(), 1, "it is not told twice");
    (0..3).for_each(|_| bench.drive(20, SOUND));
    let verdicts = bench.verdicts();
    assert_eq!((verdicts.len(), verdicts[1].verdict), (2, VerdictCode::Nominal));

    let other = EXAMPLE.replace("0.02 }", "0.03 }");
    let mut other = ConditionMonitor::new(Condition::parse(&other, "c").unwrap(), &bench.catalog);
    assert!(!other.restore(&state), "observations of another document");
    for cut in [0, 1, 40, state.len() - 1] {
        assert!(!bench.monitor.restore(&state[..cut]), "{cut}");
    }
}

#[test]
fn without_its_signals_a_quantity_says_why() {
    let mut bench = Bench::new();
    bench.drive(1, SOUND);
    let link = bench.catalog.signal_id(PATHS[7].0).unwrap();
    let mut view = Vec::new();
    bench.monitor.look(&mut view);
    assert!(view.iter().all(|known| known.absent.is_none()), "{view:?}");
    bench.held.0.remove(&link);
    let fresh = bench.now;
    bench.held.0.values_mut().for_each(|(_, at)| *at = fresh);
    bench.now = bench.now.plus(STEP);
    bench.monitor.advance(bench.now, &bench.held, None, &mut bench.records);
    bench.monitor.look(&mut view);
    let absent: Vec<_> = view.iter().filter(|known| known.absent.is_some()).collect();
    assert_eq!(absent.len(), 1);
    assert_eq!(
        (absent[0].quantity, absent[0].absent),
        (Quantity::ContactorResistance, Some(NoData::NotReceived))
    );
}
