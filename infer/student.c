#include "infer/student.h"

#include <math.h>

/* The continued fraction of the incomplete beta function (DLMF 8.17.22), from the front by Lentz's method. It converges
 * within some dozens of terms where x < (a + 1) / (a + b + 2). */
static double beta_fraction(double a, double b, double x) {
    const double tiny = 1e-300;
    double c = 1, d = 1 - (a + b) * x / (a + 1);
    d = 1 / (fabs(d) < tiny ? tiny : d);
    double value = d;
    for (int i = 1; i < 1000; i++) {
        for (int odd = 0; odd < 2; odd++) {
            double term = odd ? -(a + i) * (a + b + i) * x / ((a + 2 * i) * (a + 2 * i + 1))
                              : i * (b - i) * x / ((a + 2 * i - 1) * (a + 2 * i));
            d = 1 + term * d, c = 1 + term / c;
            d = 1 / (fabs(d) < tiny ? tiny : d), c = fabs(c) < tiny ? tiny : c;
            value *= c * d;
        }
        if (fabs(c * d - 1) < 1e-14) break;
    }
    return value;
}

/* The regularised incomplete beta function I_x(a, b); y = 1 - x. */
static double incomplete_beta(double a, double b, double x, double y) {
    if (x <= 0 || y <= 0) return x <= 0 ? 0 : 1;
    double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log(y));
    if (x < (a + 1) / (a + b + 2)) return front * beta_fraction(a, b, x) / a;
    return 1 - front * beta_fraction(b, a, y) / b;
}

double lt_student_tails(double t, double freedom) {
    if (isinf(t)) return 0;
    double scale = freedom + t * t;
    return incomplete_beta(0.5 * freedom, 0.5, freedom / scale, t * t / scale);
}

double lt_student_quantile(double p, double freedom) {
    double low = 0, high = 1;
    while (lt_student_tails(high, freedom) > p && high < 1e150) high *= 2;
    for (int i = 0; i < 100 && high - low > 1e-14 * high; i++) {
        double middle = 0.5 * (low + high);
        if (lt_student_tails(middle, freedom) > p) low = middle;
        else high = middle;
    }
    return 0.5 * (low + high);
}
